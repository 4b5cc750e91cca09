use super::*;
use crate::testing::Dice;

const SESSION: Place<'_> =
    Place::Session { account: "15550100100", wa_id: "4915112345678", device: 1, generation: 3 };

fn masters() -> MasterKeys {
    MasterKeys::new(7, &[1; 32])
}

#[test]
fn a_row_opens_in_its_place() {
    let sealed = masters().seal(&SESSION, b"a session", &Dice::new(1)).unwrap();
    assert_eq!(sealed.len(), b"a session".len() + OVERHEAD);
    let opened = masters().open(&SESSION, &sealed).unwrap();
    assert_eq!(opened.plaintext.as_slice(), b"a session");
    assert!(!opened.needs_reseal);
}

#[test]
fn a_row_moved_to_another_place_does_not_open() {
    let row = |account, table, shard, day, row| Place::Row { account, table, shard, day, row };
    let session =
        |account, wa_id, device, generation| Place::Session { account, wa_id, device, generation };
    let own = |account, kind, id| Place::OwnKey { account, kind, id };
    let places = [
        SESSION,
        session("15550100101", "4915112345678", 1, 3),
        session("15550100100", "4915112345679", 1, 3),
        session("15550100100", "4915112345678", 2, 3),
        // A higher generation: the sessions of a restored database are dead.
        session("15550100100", "4915112345678", 1, 4),
        // The same digits, cut elsewhere.
        session("155501001004", "915112345678", 1, 3),
        row("15550100100", Table::Message, 4, 20_000, b"key"),
        row("15550100101", Table::Message, 4, 20_000, b"key"),
        row("15550100100", Table::Outbox, 4, 20_000, b"key"),
        row("15550100100", Table::Message, -1, 20_000, b"key"),
        row("15550100100", Table::Message, 4, 20_001, b"key"),
        row("15550100100", Table::Message, 4, 20_000, b"kez"),
        own("15550100100", "identity", 1),
        own("15550100100", "one_time", 1),
        own("15550100100", "identity", 2),
    ];
    for (at, place) in places.iter().enumerate() {
        let sealed = masters().seal(place, b"row", &Dice::new(1)).unwrap();
        for (elsewhere, other) in places.iter().enumerate() {
            let opened = masters().open(other, &sealed);
            assert_eq!(opened.is_ok(), at == elsewhere, "{at} {elsewhere}");
        }
    }
}

#[test]
fn any_changed_bit_is_refused() {
    let sealed = masters().seal(&SESSION, b"row", &Dice::new(1)).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(masters().open(&SESSION, &changed).is_err(), "bit {bit}");
    }
    for len in 0..sealed.len() {
        assert!(masters().open(&SESSION, &sealed[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn rotation_opens_old_rows_and_asks_to_seal_them_again() {
    let old = masters().seal(&SESSION, b"row", &Dice::new(1)).unwrap();
    let rotated = MasterKeys::new(8, &[2; 32]).with_retired(7, &[1; 32]).unwrap();
    let opened = rotated.open(&SESSION, &old).unwrap();
    assert!(opened.needs_reseal && rotated.needs_reseal(&old));
    let new = rotated.seal(&SESSION, &opened.plaintext, &Dice::new(2)).unwrap();
    assert!(!rotated.needs_reseal(&new));
    assert!(!rotated.open(&SESSION, &new).unwrap().needs_reseal);
    assert_eq!(masters().open(&SESSION, &new).unwrap_err(), SealError::UnknownKey(8));
}

#[test]
fn master_keys_have_one_id_each_and_a_limit() {
    assert_eq!(masters().with_retired(7, &[2; 32]).unwrap_err(), SealError::Keys);
    let full = (0..)
        .take(MASTER_KEYS - 1)
        .fold(MasterKeys::new(100, &[0; 32]), |keys, id| keys.with_retired(id, &[9; 32]).unwrap());
    assert_eq!(full.with_retired(99, &[3; 32]).unwrap_err(), SealError::Keys);
}

#[test]
fn one_row_sealed_twice_differs() {
    let rng = Dice::new(1);
    let first = masters().seal(&SESSION, b"row", &rng).unwrap();
    assert_ne!(first, masters().seal(&SESSION, b"row", &rng).unwrap());
}

/// An id is authenticated even where two ids hold the same key by mistake.
#[test]
fn a_row_under_another_master_key_id_is_refused() {
    let twice = MasterKeys::new(8, &[1; 32]).with_retired(7, &[1; 32]).unwrap();
    let mut sealed = masters().seal(&SESSION, b"row", &Dice::new(1)).unwrap();
    sealed[2] = 8;
    assert_eq!(twice.open(&SESSION, &sealed).unwrap_err(), SealError::Refused);
}
