//! A message that waits for the acknowledgement of its recipient's identity does not wait for ever.

use super::*;

impl World {
    /// Everything but the clients goes on until it rests.
    fn rest(&mut self) {
        for _ in 0..200 {
            self.commit();
            self.answer_read();
            self.answer_sync();
            self.carry();
            self.network_speaks();
            self.pass(100);
        }
    }

    fn pass(&mut self, ms: u32) {
        self.now += Duration::from_millis(ms.into());
        self.now_ms += i64::from(ms);
        self.turn(Machine::tick);
    }

    /// Nothing is committed yet.
    fn accept(&mut self, to: Number) -> Key {
        let mut clients = self.clients.iter_mut();
        let unnamed = clients.find(|c| (c.attempt, c.to, c.name) == (0, to, None));
        let frame = unnamed.expect("more clients write to this number").ask(self.now);
        let key = frame.key;
        self.turn(|machine, ctx, fx| machine.accept(frame, ctx, fx));
        key
    }

    fn said_of(&self, key: Key) -> Vec<String> {
        let events = self.tables.events.iter().filter(|event| event.key == Some(key));
        events.map(|event| String::from_utf8_lossy(&event.body).into_owned()).collect()
    }
}

#[test]
fn a_message_accepted_before_a_change_that_nobody_acknowledges_ends_failed_480_after_a_day() {
    let mut world = World::new(7, Sealing::EndToEnd, MESSAGES);
    world.refusals = false;
    let mut application = Application::default();
    application.show_security_notifications = true;
    world.view = View::of(&application, Some(own()));
    let to = number(1);
    let before = world.accept(to);
    world.rest();
    assert_eq!(world.network.delivered, [before]);

    let waiting = world.accept(to);
    let identity_key = world.phones.new_identity(to);
    world.network.keep(Item::IdentityChanged { wa_id: to, device: 0, identity_key });
    world.network_speaks();
    world.rest();
    assert_eq!(world.network.delivered, [before], "it waits");
    assert!(world.said_of(waiting).is_empty());
    let told = world.tables.events.iter().map(|event| String::from_utf8_lossy(&event.body));
    assert_eq!(told.filter(|body| body.contains("user_identity_changed")).count(), 1);

    world.pass(24 * 60 * 60 * 1_000);
    world.rest();
    let said = world.said_of(waiting);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(r#""status":"failed""#) && said[0].contains(r#""code":480"#));
    assert_eq!(world.network.delivered, [before]);
    assert!(world.machine.idle() && world.tables.jobs.is_empty());
}
