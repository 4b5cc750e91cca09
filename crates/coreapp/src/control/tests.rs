//! Changes over a real database.

use std::sync::Arc;

use contract::{Code, ShardId, settings::Application};
use futures_util::FutureExt;
use store::{
    Reader, Settings, Store,
    rows::{Node, NodeState},
};
use telemetry::system::{SystemClock, SystemRng};
use tokio::sync::mpsc;

use super::{Control, Deps, Fixed, rows::SETTINGS};
use crate::{
    callbacks::Feed,
    egress::{Allow, Policy},
};

const INC: i64 = 7;

/// The account in a new database.
struct Bench {
    control: Arc<Control>,
    reader: Reader,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("db").display());
        let settings = Settings { lanes: Some(1), ..Settings::parse(&url).unwrap() };
        let store = Store::open(settings, Arc::new(SystemRng::new())).await.unwrap();
        let (name, addr, version) = ("node".to_owned(), "127.0.0.1:1".to_owned(), "1".to_owned());
        let node = Node { inc: INC, name, addr, state: NodeState::Live, version, beat: 0 };
        store.cluster().join(&node, 1).await.unwrap();
        let seen = store.cluster().shards().await.unwrap();
        let shards = store.cluster().claim(INC, &seen).await.unwrap();
        let lanes = store.start_lanes(INC, Arc::new(Feed::new()));
        let epoch = shards.iter().find(|shard| shard.id == ShardId::CONTROL).unwrap().epoch;
        lanes.own(ShardId::CONTROL, epoch, 1, mpsc::unbounded_channel().0);
        let reader = store.reader();
        let control = Control::open(Deps {
            lanes,
            reader: reader.clone(),
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng::new()),
            fixed: Fixed { number: None, no_limits: true },
            apply: Box::new(|_: &Application| {}),
            numbered: Box::new(|_| {}),
            templates: Arc::default(),
            policy: Policy::new(Allow::default()),
            trust: Box::new(|_| {}),
            tell: Box::new(|| async {}.boxed()),
            initial: Application::default(),
        });
        let control = control.await.unwrap();
        control.take_over(epoch).await.unwrap();
        Self { control: Arc::new(control), reader, _folder: folder }
    }
}

#[tokio::test]
async fn a_change_whose_caller_leaves_while_it_is_written_is_in_force_before_the_next_one() {
    let Bench { control, reader, _folder } = Bench::new().await;
    let (before, _) = control.public_settings().await;
    let left = control.patch(br#"{"callback_backoff_delay_ms": 4000}"#).now_or_never();
    assert!(left.is_none(), "it waits for the commit");
    control.patch(br#"{"max_callback_backoff_delay_ms": 800000}"#).await.unwrap();
    assert_eq!(control.public_settings().await.0, before + 2);
    assert_eq!(control.settings().await.callback_backoff_delay_ms, 4_000);
    let row = reader.config(SETTINGS).await.unwrap().unwrap();
    assert_eq!(row.version, before + 2);

    let alice = || control.create_user("alice".to_owned(), "a hash".to_owned());
    assert!(alice().now_or_never().is_none());
    assert_eq!(alice().await.unwrap_err().code, Code::INTERNAL, "she exists");
}
