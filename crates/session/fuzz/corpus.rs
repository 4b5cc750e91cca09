//! Writes the genuine inputs the corpora start from.

use fuzzing::{Counting, Scene};
use session::{Identity, Record};

fn main() -> std::io::Result<()> {
    let Some(scene) = Scene::new() else { return Err(std::io::ErrorKind::Other.into()) };
    let bundle = &scene.bundle;
    let mut fields = bundle.registration_id.to_be_bytes().to_vec();
    fields.extend_from_slice(&bundle.identity.to_wire());
    fields.extend_from_slice(&bundle.signed.id.get().to_be_bytes());
    fields.extend_from_slice(&bundle.signed.key.to_wire());
    fields.extend_from_slice(bundle.signed.signature.as_bytes());
    write("bundle", "without_one_time", &fields)?;
    if let Some(one_time) = &bundle.one_time {
        fields.extend_from_slice(&one_time.id.get().to_be_bytes());
        fields.extend_from_slice(&one_time.key.to_wire());
    }
    write("bundle", "with_one_time", &fields)?;
    write("pre_key_message", "first", &scene.first)?;
    write("message", "known_chain", &scene.next[0])?;
    write("message", "new_chain", &scene.next[1])?;
    write("record", "empty", &Record::default().to_bytes())?;
    write("record", "established", &scene.established)?;
    let me = Identity::generate(&Counting::from(50));
    if let Some(Ok(two)) =
        scene.record().map(|record| record.initiate(&me, bundle, 0, &Counting::from(60)))
    {
        write("record", "pending_over_established", &two.to_bytes())?;
    }
    Ok(())
}

fn write(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), bytes)
}
