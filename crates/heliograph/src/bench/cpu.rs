//! CPU time of processes, from `/proc`.

use std::{collections::BTreeMap, fs};

/// Microseconds a tick of `/proc/PID/stat`: `USER_HZ` is 100 in the kernel's user-space ABI.
const TICK_US: u64 = 10_000;

/// A process whose CPU time belongs to a run.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) name: &'static str,
    pub(crate) pid: u32,
    /// Its children count too: a database server works in them.
    pub(crate) children: bool,
}

/// CPU time by name, microseconds; without what cannot be read. Processes of one name are added up.
pub(crate) fn sample(watched: &[Watched]) -> BTreeMap<&'static str, u64> {
    let mut times = BTreeMap::new();
    for process in watched {
        if let Some(time) = of(process) {
            *times.entry(process.name).or_default() += time;
        }
    }
    times
}

/// The process that listens on a loopback port, if it may be seen: the oldest one that holds the
/// socket, for servers hand it on to their children.
pub(crate) fn listener(port: u16) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let inodes: Vec<_> = tables.iter().flatten().flat_map(|table| listening(table, port)).collect();
    let pids = fs::read_dir("/proc").ok()?.filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let held = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        let mut names = held.filter_map(|link| link.to_str().map(str::to_owned));
        names.any(|name| inodes.contains(&name)).then_some(pid)
    });
    pids.min()
}

/// Names of the sockets that listen on the port, in the form of links in `/proc/PID/fd`.
fn listening(table: &str, port: u16) -> impl Iterator<Item = String> {
    table.lines().filter_map(move |line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let listens = *fields.get(3)? == "0A" && u16::from_str_radix(local, 16) == Ok(port);
        listens.then_some(format!("socket:[{}]", fields.get(9)?))
    })
}

fn of(process: &Watched) -> Option<u64> {
    let own = Times::read(process.pid)?;
    if !process.children {
        return Some(own.user_system * TICK_US);
    }
    // Ended children are in the parent's account.
    let living: u64 = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Times::read)
        .filter(|times| times.parent == process.pid)
        .map(|times| times.user_system + times.ended_children)
        .sum();
    Some((own.user_system + own.ended_children + living) * TICK_US)
}

/// Ticks.
#[derive(Debug, PartialEq)]
struct Times {
    parent: u32,
    user_system: u64,
    ended_children: u64,
}

impl Times {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Fields 4 and 14 to 17; the name in field 2 may hold anything, so count from its bracket.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |index: usize| -> Option<u64> { fields.get(index)?.parse().ok() };
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            user_system: number(11)? + number(12)?,
            ended_children: number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_closing_bracket_of_the_name() {
        let stat = "7 (a) b) S 3 7 7 0 -1 4194304 94 0 0 0 250 50 10 5 20 0 1 0 44 1 2";
        assert_eq!(
            Times::parse(stat),
            Some(Times { parent: 3, user_system: 300, ended_children: 15 })
        );
    }

    #[test]
    fn whoever_listens_on_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(super::listener(port), Some(std::process::id()));
        drop(listener);
        assert_eq!(super::listener(port), None);
    }

    #[test]
    fn a_process_that_is_gone_has_no_figure() {
        let gone = Watched { name: "gone", pid: u32::MAX, children: false };
        assert!(sample(&[gone]).is_empty());
    }
}
