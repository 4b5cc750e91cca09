//! The machine's promises, held over many seeds ([`crate::seeds`]).

mod world;

use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use contract::Route;
use store::rows::{DeadState, NewEvent};

use super::{breaker::Change, schedule::Outcome};
use crate::seeds;
use world::{Dice, EPOCH_MS, GONE, Plan, WEEK_MS, World};

fn over_seeds(default: u64, test: impl Fn(u64, &Dice)) {
    seeds::over_seeds(seeds::seeds(default), |seed| test(seed, &Dice(AtomicU64::new(seed))));
}

fn calm(dice: &Dice) -> Plan {
    Plan {
        shards: 1 + i16::try_from(dice.roll(4)).unwrap(),
        conversations: 1 + dice.roll(30),
        events: 100 + dice.roll(900),
        pause_ms: 1 + dice.roll(200),
        concurrency: 1 + usize::try_from(dice.roll(24)).unwrap(),
        dead: None,
        poison: 0,
        held: 0,
        database: 0,
        crash: 0,
        release: 0,
        unfed: 0,
        batch: 1,
        max_age: WEEK_MS,
        cursed: None,
        slow: None,
        talkative: 0,
    }
}

fn rough(dice: &Dice) -> Plan {
    let from = dice.roll(20_000);
    let moods = [
        Outcome::Unreachable,
        Outcome::TimedOut,
        Outcome::Refused { status: 500, retry_after_ms: None },
        Outcome::Refused { status: 503, retry_after_ms: Some(10_000) },
    ];
    let mood = moods[usize::try_from(dice.roll(4)).unwrap()];
    Plan {
        dead: dice.percent(50).then_some((from, from + dice.roll(120_000), mood)),
        poison: dice.roll(15),
        held: dice.roll(4),
        database: dice.roll(10),
        release: dice.roll(3),
        unfed: dice.roll(50),
        batch: if dice.percent(50) { 1 } else { 1 + usize::try_from(dice.roll(50)).unwrap() },
        talkative: if dice.percent(50) { 0 } else { dice.roll(60) },
        ..calm(dice)
    }
}

#[test]
fn every_event_is_settled_exactly_once_without_crashes() {
    over_seeds(150, |seed, dice| {
        let mut world = World::new(seed, rough(dice));
        world.run();
        world.all_delivered();
    });
}

#[test]
fn no_event_is_lost_by_crashes() {
    over_seeds(150, |seed, dice| {
        let mut world = World::new(seed, Plan { crash: 1 + dice.roll(5), ..rough(dice) });
        world.run();
        world.all_delivered();
    });
}

#[test]
fn conversations_keep_their_order_over_a_dead_minute() {
    over_seeds(40, |seed, dice| {
        let moods = [
            Outcome::Unreachable,
            Outcome::TimedOut,
            Outcome::Refused { status: 500, retry_after_ms: None },
        ];
        let mood = moods[usize::try_from(dice.roll(3)).unwrap()];
        let plan = Plan {
            conversations: 30,
            pause_ms: 5 + dice.roll(40),
            events: 600 + dice.roll(3_000),
            // Ten time-outs must fit into the minute after which an event holds no others up.
            concurrency: 10 + usize::try_from(dice.roll(20)).unwrap(),
            dead: Some((1_000, 61_000, mood)),
            database: dice.roll(2),
            release: dice.roll(20),
            unfed: dice.roll(50),
            ..calm(dice)
        };
        let mut world = World::new(seed, plan);
        world.run();
        world.all_delivered();
        // A shard whose last cursor was not saved starts again from an earlier one.
        assert!(
            world.in_order || world.crashes > 0,
            "a later event of a conversation was settled first"
        );
        assert!(world.changes.contains(&Change::Down), "it was noticed");
    });
}

#[test]
fn a_backlog_costs_pages_and_no_more_than_a_window() {
    over_seeds(10, |seed, dice| {
        let plan = Plan { events: 400, shards: 2, concurrency: 12, pause_ms: 20, ..calm(dice) };
        let mut world = World::new(seed, plan);
        // Committed while nobody was there.
        for log in world.logs.values_mut() {
            for seq in 1..=3_000 {
                let event = NewEvent {
                    kind: 1,
                    route: Route::from_i64(seq % 40),
                    key: None,
                    held: false,
                    created_ms: EPOCH_MS,
                    body: Bytes::from(format!("{} {seq}", if seq % 2 == 0 { "a" } else { "b" })),
                    trace: None,
                };
                // Now and then a row that was deleted by hand.
                log.push((event, if dice.percent(2) { GONE } else { 0 }));
            }
        }
        for shard in world.logs.keys().copied().collect::<Vec<_>>() {
            world.attach(shard);
        }
        world.run();
        world.all_delivered();
        assert!(world.in_order);
    });
}

#[test]
fn what_is_refused_for_too_long_is_a_dead_letter_even_after_crashes() {
    over_seeds(40, |seed, dice| {
        let plan = Plan {
            cursed: Some(0),
            max_age: 3 * 3_600_000,
            crash: dice.roll(4),
            conversations: 2 + dice.roll(30),
            dead: None,
            poison: 0,
            ..rough(dice)
        };
        let mut world = World::new(seed, plan);
        world.run();
        world.all_delivered();
        for ((shard, seq), row) in &world.dead {
            assert_eq!(row.state, DeadState::Dead);
            assert_eq!(row.event.body, format!("{shard} {seq}"));
            assert_eq!(row.event.route, Route::from_i64(0), "an innocent one died");
        }
        let cursed = world.logs.values().flatten().filter(|(event, _)| event.route.to_i64() == 0);
        assert_eq!(cursed.count(), world.dead.len());
    });
}

/// 1,000 events of one conversation are always answered with 500, and one person's receiver takes
/// ten seconds each time: nobody else notices.
#[test]
fn one_bad_conversation_and_one_slow_one_delay_nobody_else() {
    for (seed, batch) in [(1, 1), (2, 1), (3, 20)] {
        let dice = Dice(AtomicU64::new(seed));
        let healthy = Plan {
            shards: 1,
            conversations: 400,
            events: 5_000,
            pause_ms: 200,
            concurrency: 24,
            talkative: 25,
            max_age: 6 * 3_600_000,
            batch,
            ..calm(&dice)
        };
        let worst_of_others = |world: &World| {
            let innocent = world.delays.iter().filter(|(route, _)| route.to_i64() > 1);
            innocent.map(|(_, delay)| *delay).max().unwrap()
        };
        let mut world = World::new(seed, healthy);
        world.run();
        let usual = worst_of_others(&world);

        let plan = Plan { cursed: Some(0), slow: Some((1, 10_000)), ..healthy };
        let mut world = World::new(seed, plan);
        world.run();
        world.all_delivered();
        let worst = worst_of_others(&world);
        // Half a second until the hoarder is seen. Who shares a POST with the slow one waits as long
        // as that takes, and again if his next event does.
        let most = usual + if batch == 1 { 1_000 } else { 25_000 };
        assert!(worst < most, "{worst} ms instead of {usual} at {batch} a POST");
        let cursed = world.logs.values().flatten().filter(|(event, _)| event.route.to_i64() == 0);
        let cursed = cursed.count();
        assert!(cursed >= 1_000 && world.dead.len() == cursed, "{cursed}, {}", world.dead.len());
        assert!(world.most_parked > 500, "they were parked");
    }
}

#[test]
fn events_share_posts_when_they_may() {
    over_seeds(10, |seed, dice| {
        let plan = Plan { batch: 50, pause_ms: 1, concurrency: 1, events: 2_000, ..calm(dice) };
        let mut world = World::new(seed, plan);
        world.run();
        world.all_delivered();
        assert!(world.in_order && world.shared_posts > 10, "{}", world.shared_posts);
    });
}
