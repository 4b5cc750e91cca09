use super::*;

fn quantiles(summary: &Summary, step: Step) -> Quantiles {
    summary.latencies.iter().find(|(s, _)| *s == step).unwrap().1
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_overtakes_its_201_is_counted_and_timed() {
    let tally = Tally::new().unwrap();
    let due = Instant::now();
    tokio::time::advance(Duration::from_millis(40)).await;
    tally.callback("a", "delivered");
    assert_eq!(tally.progress().settled, 0);
    tokio::time::advance(Duration::from_millis(10)).await;
    tally.accepted("a", due, true);
    let summary = tally.summary();
    assert_eq!(tally.progress().settled, 1);
    assert_eq!((summary.accepted, summary.lost), (1, 0));
    assert!((quantiles(&summary, Step::Delivered).p50 - 40.0).abs() < 0.1, "{summary:?}");
    assert!((quantiles(&summary, Step::Accept).p50 - 50.0).abs() < 0.1, "{summary:?}");
}

#[tokio::test(start_paused = true)]
async fn what_never_arrives_is_lost_and_what_comes_twice_is_repeated() {
    let tally = Tally::new().unwrap();
    for id in ["a", "b", "c"] {
        tally.accepted(id, Instant::now(), true);
    }
    tally.callback("a", "sent");
    tally.callback("b", "read");
    tally.callback("b", "delivered");
    tally.callback("b", "delivered");
    tally.callback("c", "failed");
    let summary = tally.summary();
    assert_eq!((summary.lost, summary.repeated, summary.failed_later), (1, 1, 1));
    assert_eq!(summary.callbacks["delivered"], 1);
}

#[tokio::test(start_paused = true)]
async fn the_warm_up_is_in_no_rate_and_no_latency_but_its_losses_are_seen() {
    let tally = Tally::new().unwrap();
    let start = Instant::now();
    tally.begin(start + Duration::from_secs(5));
    tokio::time::advance(Duration::from_secs(4)).await;
    tally.accepted("lost in the warm-up", start, false);
    tally.refused("429/1015", true);
    tally.accepted("delivered later", start, false);
    tokio::time::advance(Duration::from_secs(2)).await;
    tally.callback("delivered later", "delivered");
    tally.accepted("counts", Instant::now(), true);
    tally.refused("503/1016", true);
    tokio::time::advance(Duration::from_secs(1)).await;
    tally.callback("counts", "delivered");
    let summary = tally.summary();
    assert_eq!((summary.accepted, summary.accepted_all, summary.lost), (1, 3, 1));
    assert_eq!(summary.duration, Duration::from_secs(1));
    assert_eq!((summary.settled, summary.drained), (1, Duration::from_secs(2)));
    assert_eq!(summary.refused.keys().collect::<Vec<_>>(), ["503/1016"]);
    assert_eq!(summary.callbacks["delivered"], 1);
    assert!(quantiles(&summary, Step::Accept).max < 1.0, "{summary:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_is_complete_with_its_last_callback() {
    let tally = Tally::new().unwrap();
    tally.accepted("a", Instant::now(), true);
    for (n, status) in ["read", "sent", "delivered"].into_iter().enumerate() {
        assert_eq!(tally.progress().complete, 0, "before callback {n}");
        tokio::time::advance(Duration::from_millis(100)).await;
        tally.callback("a", status);
    }
    assert_eq!(tally.progress().complete, 1);
    let summary = tally.summary();
    assert!((quantiles(&summary, Step::Callback).p50 - 300.0).abs() < 0.5, "{summary:?}");
    let interval = tally.take_interval();
    assert_eq!((interval.accepted, interval.callbacks, interval.settled), (1, 3, 1));
    assert_eq!(tally.take_interval().callbacks, 0);
}
