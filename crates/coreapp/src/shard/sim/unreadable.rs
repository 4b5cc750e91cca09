//! A customer's message that cannot be decrypted is asked for again, five copies of it.

use super::*;

const FROM: u64 = 1;

fn key() -> Key {
    Key::from_bytes(&[1; 12]).unwrap()
}

fn copy(n: u8) -> Item {
    let envelope = Envelope {
        device: 0,
        kind: EnvelopeKind::Message,
        ciphertext: Bytes::copy_from_slice(&[n; 98]),
    };
    let (from, profile_name, timestamp_ms) = (number(FROM), String::new(), 1_000);
    Item::Inbound(Inbound { key: key(), from, profile_name, timestamp_ms, envelope })
}

impl World {
    /// What the network keeps is told; the counts of the requests that go out.
    fn tell(&mut self) -> Vec<u32> {
        for _ in 0..3 {
            self.network_speaks();
            self.catch_up();
        }
        let requests = self.on_the_wire.iter().filter_map(|outgoing| match outgoing {
            Outgoing::Retry { retry, .. } => Some(retry.count),
            _ => None,
        });
        requests.collect()
    }

    fn told(&self) -> Vec<String> {
        let events = self.tables.events.iter().filter(|event| event.kind == 2);
        events.map(|event| String::from_utf8_lossy(&event.body).into_owned()).collect()
    }
}

#[test]
fn a_copy_that_the_network_repeats_again_and_again_is_counted_once() {
    let mut world = World::new(7, Sealing::EndToEnd, 0);
    world.network.keep(copy(1));
    for _ in 0..20 {
        assert_eq!(world.tell(), [1], "it is asked for, and the count is the same");
        world.disconnect();
    }
    // Now a request arrives, and the phone writes again.
    world.restored = 1;
    world.come_to_rest();
    let told = world.told();
    assert!(told.len() == 1 && told[0].contains(r#""body":"hi""#), "{told:?}");
}

#[test]
fn the_sixth_copy_that_cannot_be_decrypted_is_told_as_unknown() {
    let mut world = World::new(7, Sealing::EndToEnd, 0);
    for n in 1..=5 {
        world.network.keep(copy(n));
        assert_eq!(world.tell(), [u32::from(n)]);
        // The acknowledgement arrives, the phone answers with the next copy.
        let requests = |outgoing: &Outgoing| !matches!(outgoing, Outgoing::Retry { .. });
        world.on_the_wire.retain(requests);
        while !world.on_the_wire.is_empty() {
            world.carry();
        }
        assert!(world.network.kept.is_empty());
    }
    assert!(world.told().is_empty());
    world.network.keep(copy(6));
    assert_eq!(world.tell(), [0; 0]);
    let told = world.told();
    assert!(told.len() == 1 && told[0].contains(r#""type":"unknown""#), "{told:?}");
}
