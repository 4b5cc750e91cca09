//! Brings the gauges up to date whenever the metrics are read.

use std::sync::Arc;

use telemetry::metrics::Family;

use crate::{
    callbacks::Feed, cluster::MapRx, contacts::Desk, intake::Gate, metrics::Metrics,
    shard::effects::Window,
};

/// What is read at the moment of asking.
pub(crate) struct Gauges {
    pub registry: telemetry::metrics::Metrics,
    pub metrics: Metrics,
    pub gate: Arc<Gate>,
    pub window: Arc<Window>,
    pub desk: Arc<Desk>,
    pub map: MapRx,
    pub feed: Arc<Feed>,
}

impl Gauges {
    /// As data.
    pub(crate) fn snapshot(&self) -> Vec<Family> {
        self.refresh();
        self.registry.snapshot()
    }

    /// As Prometheus text.
    pub(crate) fn render(&self) -> String {
        self.refresh();
        self.registry.render_prometheus()
    }

    fn refresh(&self) {
        self.metrics.levels(self.gate.jobs(), self.gate.take_peak(), self.window.taken());
        self.metrics.inbound(self.feed.take_inbound());
        self.metrics.shards(self.map.borrow().mine.len());
        self.metrics.contacts(self.desk.waiting(), self.desk.taken());
        for (standing, refused) in self.gate.standings() {
            self.metrics.gate(standing, refused);
        }
    }
}
