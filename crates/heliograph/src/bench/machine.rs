//! Facts of the machine without which a figure means nothing.

use std::fs;

use serde_json::{Value, json};

pub(crate) fn facts() -> Value {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "cpu": field(&cpuinfo, "model name"),
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "memory_kib": field(&meminfo, "MemTotal")
            .and_then(|size| size.trim_end_matches("kB").trim().parse::<u64>().ok()),
        "kernel": kernel.trim(),
        "session_dh": session::dh::backend(),
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
    })
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))
        .map(str::trim)
}
