//! What the kernel counts for this process, read from `/proc/self` when metrics are gathered.

use std::fs;

use prometheus::{
    Counter, IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// `USER_HZ`: the unit of the times in `/proc/PID/stat`, fixed by the kernel's user-space ABI.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) struct Process {
    cpu: Counter,
    memory: IntGauge,
    files: IntGauge,
}

impl Process {
    pub(super) fn new() -> prometheus::Result<Self> {
        Ok(Self {
            cpu: Counter::new("process_cpu_seconds_total", "User and system CPU time, seconds.")?,
            memory: IntGauge::new("process_resident_memory_bytes", "Resident memory, bytes.")?,
            files: IntGauge::new("process_open_fds", "Open file descriptors.")?,
        })
    }

    /// What cannot be read keeps its last value: a figure is no reason to fail.
    fn refresh(&self) {
        if let Ok(stat) = fs::read_to_string("/proc/self/stat")
            && let Some(seconds) = cpu_seconds(&stat)
        {
            self.cpu.reset();
            self.cpu.inc_by(seconds);
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status")
            && let Some(bytes) = resident_bytes(&status)
        {
            self.memory.set(bytes);
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            self.files.set(i64::try_from(files.count()).unwrap_or(i64::MAX));
        }
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        [self.cpu.desc(), self.memory.desc(), self.files.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        [self.cpu.collect(), self.memory.collect(), self.files.collect()].concat()
    }
}

/// Fields 14 and 15 of `stat`; the name in field 2 may hold anything, so count from its bracket.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 94 0 0 0 250 50 0 0 20 0 1 0 44 1 2";
        assert_eq!(cpu_seconds(stat), Some(3.0));
    }
}
