//! A batch as one text: begin, fence, a statement a table, commit. One text is one round trip; it
//! stops at the first statement that fails, so the commit is reached only when all went well.
//!
//! What a statement says is fixed, whatever the optimizer believes: keys to delete are joined to
//! their table in that order, by its primary key.

use std::collections::BTreeMap;

use contract::{Key, Number, ShardId};

use crate::{
    batch::Changes,
    codec,
    error::StoreError,
    lanes::{Done, Fence, Refusal},
    mysql::{
        connect::Session,
        error::{self, Kind},
        text::{Row, Text},
    },
    rows::{Job, Outbox},
};

/// Times that a text is run again at once after the server gave it up in favour of another one
/// (a deadlock, a lock that was waited for too long). The same bytes, fence included.
const REPEATS_MAX: u32 = 5;

/// The statements before those that may be refused: begin, fence, stop.
const FENCE: [&str; 3] = ["", "lane", "lane"];

/// Stops the text unless the fence has moved one row: a scalar query of two rows is an error.
const STOP_UNLESS_MOVED: &str = ";SELECT IF(ROW_COUNT() = 1, 1, (SELECT 1 UNION ALL SELECT 2))";

/// A text and the table that each of its statements writes.
pub(crate) struct Script {
    pub(crate) text: Text,
    tables: Vec<&'static str>,
}

pub(crate) async fn commit(
    session: &mut Session,
    fence: Fence,
    changes: &Changes<'_>,
    packet_max: usize,
) -> Done {
    let script = script(fence, changes);
    // The server would close the connection.
    if script.text.len() >= packet_max {
        let why = format!(
            "{} bytes of SQL are more than the server's max_allowed_packet of {packet_max}",
            script.text.len()
        );
        return Done::Refused(Refusal { taken_in: None, why });
    }
    let mut repeats = 0;
    loop {
        let (at, error) = match session.run(&script.text).await {
            // The last answer is the commit's.
            Ok(answers) if answers == script.tables.len() + 1 => return Done::Committed,
            Ok(answers) => {
                let why = format!("{answers} answers to {} statements", script.tables.len() + 1);
                return Done::Lost { answered: true, why };
            }
            Err(failed) => failed,
        };
        let why = error::describe(&error);
        let kind = error::kind(&error);
        if let Kind::Connection = kind {
            return Done::Lost { answered: false, why };
        }
        // The lane's row stays locked until then.
        let undone = session.run(&Text::of("ROLLBACK")).await.is_ok();
        return match kind {
            Kind::NotMoved => Done::NoRow,
            Kind::GivenUp if undone && repeats < REPEATS_MAX => {
                repeats += 1;
                continue;
            }
            // What failed is no commit, and it is undone.
            Kind::Taken if undone => {
                let taken_in = script.tables.get(at).map(|table| (*table).to_owned());
                Done::Refused(Refusal { taken_in, why })
            }
            Kind::Unfit if undone => Done::Refused(Refusal { taken_in: None, why }),
            _ => Done::Lost { answered: undone, why },
        };
    }
}

/// The lane's row, locked: this waits until whatever an earlier connection has open is decided.
pub(crate) async fn ask(
    session: &mut Session,
    fence: Fence,
) -> Result<Option<(bool, i64)>, StoreError> {
    let mut text = Text::of("SELECT live, batch FROM lane WHERE inc = ");
    text.int(fence.inc).sql(" AND lane = ").int(fence.lane).sql(" FOR UPDATE");
    let rows: Vec<(i16, i64)> = session.rows(&text).await?;
    Ok(rows.as_slice().first().map(|(live, batch)| (*live == 1, *batch)))
}

pub(crate) fn script(fence: Fence, changes: &Changes<'_>) -> Script {
    let Fence { inc, lane, batch } = fence;
    let mut text = Text::of("START TRANSACTION;UPDATE lane SET batch = ");
    text.int(batch).sql(" WHERE inc = ").int(inc).sql(" AND lane = ").int(lane);
    text.sql(" AND live = 1 AND batch = ").int(batch - 1).sql(STOP_UNLESS_MOVED);
    let mut script = Script { text, tables: FENCE.to_vec() };
    script.usual(changes);
    script.traced(changes);
    if changes.has_rare() {
        script.rare(changes);
    }
    script.text.sql(";COMMIT");
    script
}

impl Script {
    fn usual(&mut self, changes: &Changes<'_>) {
        self.insert(
            "message",
            ";INSERT INTO message (shard, `key`, created_ms, body_hash, body) VALUES ",
            "",
            &changes.messages,
            |text, (shard, row)| {
                text.int(shard.get()).sql(", ").bytes(row.key.as_bytes()).sql(", ");
                text.int(row.created_ms).sql(", ").bytes(&row.body_hash).sql(", ").bytes(&row.body);
            },
        );
        self.insert("job", JOB, "", changes.jobs.inserts(), job);
        self.delete("job", changes.jobs.deletes(), "t.id = d.id", |row, (shard, id)| {
            row.int("shard", shard.get()).int("id", *id);
        });
        self.insert("outbox", OUTBOX, "", changes.outbox.inserts(), outbox);
        self.delete(
            "outbox",
            changes.outbox.deletes(),
            "t.`key` = d.k AND t.device = d.device",
            |row, (shard, key, device)| {
                row.int("shard", shard.get()).bytes("k", key.as_bytes()).int("device", *device);
            },
        );
        self.insert(
            "event",
            ";INSERT INTO event \
             (shard, seq, kind, route_hash, msg_key, held, created_ms, body) VALUES ",
            "",
            &changes.events,
            |text, (shard, seq, row)| {
                text.int(shard.get()).sql(", ").int(*seq).sql(", ").int(row.kind).sql(", ");
                text.int(row.route.to_i64()).sql(", ");
                text.maybe(row.key.as_ref().map(Key::as_bytes)).sql(", ").int(row.held);
                text.sql(", ").int(row.created_ms).sql(", ").bytes(&row.body);
            },
        );
        self.insert(
            "inbound",
            ";INSERT INTO inbound (shard, peer_hash, `key`, created_ms) VALUES ",
            "",
            &changes.inbound,
            |text, (shard, row)| {
                text.int(shard.get()).sql(", ").int(row.peer.to_i64()).sql(", ");
                text.bytes(row.key.as_bytes()).sql(", ").int(row.created_ms);
            },
        );
        self.insert(
            "contact",
            ";INSERT INTO contact (shard, number, wa_id, checked_ms) VALUES ",
            " ON DUPLICATE KEY UPDATE wa_id = VALUES(wa_id), checked_ms = VALUES(checked_ms)",
            changes.contacts.iter().filter_map(|((shard, _), row)| Some((shard, (*row)?))),
            |text, (shard, row)| {
                text.int(shard.get()).sql(", ").bytes(row.number.as_bytes()).sql(", ");
                text.maybe(row.wa_id.as_ref().map(Number::as_bytes));
                text.sql(", ").int(row.checked_ms);
            },
        );
        self.insert(
            "cursor",
            ";INSERT INTO `cursor` (endpoint, shard, read_to, holes) VALUES ",
            " ON DUPLICATE KEY UPDATE read_to = VALUES(read_to), holes = VALUES(holes)",
            &changes.cursors,
            |text, ((endpoint, shard), row)| {
                text.int(*endpoint).sql(", ").int(shard.get()).sql(", ").int(row.read_to);
                text.sql(", ").bytes(&row.holes);
            },
        );
        let sessions =
            || changes.sessions.iter().filter_map(|((shard, ..), row)| Some((shard, (*row)?)));
        self.insert(
            "session",
            ";INSERT INTO `session` (shard, wa_id, device, generation, record) VALUES ",
            " ON DUPLICATE KEY UPDATE generation = VALUES(generation), record = VALUES(record)",
            sessions(),
            |text, (shard, row)| {
                text.int(shard.get()).sql(", ").bytes(row.wa_id.as_bytes()).sql(", ");
                text.int(row.device).sql(", ").int(row.generation).sql(", ").bytes(&row.record);
            },
        );
        self.insert(
            "session_mark",
            ";INSERT INTO session_mark (shard, wa_id, device, mark) VALUES ",
            " ON DUPLICATE KEY UPDATE mark = VALUES(mark)",
            sessions(),
            |text, (shard, row)| {
                text.int(shard.get()).sql(", ").bytes(row.wa_id.as_bytes()).sql(", ");
                text.int(row.device).sql(", ").bytes(&codec::mark(&row.record));
            },
        );
        self.insert(
            "identity",
            ";INSERT INTO identity (shard, wa_id, device, `key`, created_ms, acknowledged) VALUES ",
            " ON DUPLICATE KEY UPDATE `key` = VALUES(`key`), created_ms = VALUES(created_ms), \
             acknowledged = VALUES(acknowledged)",
            changes.identities.iter().filter_map(|((shard, ..), row)| Some((shard, (*row)?))),
            |text, (shard, row)| {
                text.int(shard.get()).sql(", ").bytes(row.wa_id.as_bytes()).sql(", ");
                text.int(row.device).sql(", ").bytes(&row.key).sql(", ").int(row.created_ms);
                text.sql(", ").int(row.acknowledged);
            },
        );
        self.insert(
            "idempotency",
            ";INSERT INTO idempotency (shard, hash, created_ms, `key`) VALUES ",
            "",
            &changes.idempotency,
            |text, (shard, dated, row)| {
                text.int(shard.get()).sql(", ").bytes(dated).sql(", ").int(row.created_ms);
                text.sql(", ").bytes(row.key.as_bytes());
            },
        );
    }

    /// A key that is taken is told by `message`.
    fn traced(&mut self, changes: &Changes<'_>) {
        self.insert(
            "trace",
            ";INSERT INTO trace (shard, `key`, context) VALUES ",
            " ON DUPLICATE KEY UPDATE context = context",
            &changes.traces,
            |text, (shard, key, context)| {
                text.int(shard.get()).sql(", ").bytes(key.as_bytes()).sql(", ").bytes(context);
            },
        );
    }

    fn rare(&mut self, changes: &Changes<'_>) {
        self.insert(
            "job",
            JOB,
            " ON DUPLICATE KEY UPDATE `key` = VALUES(`key`), route_hash = VALUES(route_hash), \
             created_ms = VALUES(created_ms), header = VALUES(header)",
            changes.jobs.puts(),
            job,
        );
        self.insert(
            "outbox",
            OUTBOX,
            " ON DUPLICATE KEY UPDATE kind = VALUES(kind), payload = VALUES(payload)",
            changes.outbox.puts(),
            outbox,
        );
        let gone = changes.contacts.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key);
        self.delete("contact", gone, "t.number = d.number", |row, (shard, number)| {
            row.int("shard", shard.get()).bytes("number", number.as_bytes());
        });
        self.insert(
            "blocked",
            ";INSERT INTO blocked (shard, route_hash, number, created_ms) VALUES ",
            " ON DUPLICATE KEY UPDATE number = VALUES(number), created_ms = VALUES(created_ms)",
            changes.blocked.iter().filter_map(|(key, row)| Some((key, (*row)?))),
            |text, ((shard, route), row)| {
                text.int(shard.get()).sql(", ").int(route.to_i64()).sql(", ");
                text.bytes(row.number.as_bytes()).sql(", ").int(row.created_ms);
            },
        );
        let gone = changes.blocked.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key);
        self.delete("blocked", gone, "t.route_hash = d.route_hash", |row, (shard, route)| {
            row.int("shard", shard.get()).int("route_hash", route.to_i64());
        });
        self.delete_devices("session", &changes.sessions);
        self.delete_devices("session_mark", &changes.sessions);
        self.delete_devices("identity", &changes.identities);
        self.releases(changes);
        self.dead_events(changes);
        self.account(changes);
        self.trim(changes);
    }

    fn releases(&mut self, changes: &Changes<'_>) {
        for ((shard, seq), row) in &changes.releases {
            self.statement("event", ";UPDATE event SET held = 0, body = ").bytes(&row.body);
            self.text.sql(" WHERE shard = ").int(shard.get()).sql(" AND seq = ").int(*seq);
            self.text.sql(" AND held = 1");
        }
    }

    fn dead_events(&mut self, changes: &Changes<'_>) {
        self.insert(
            "dead_event",
            ";INSERT INTO dead_event (endpoint, shard, seq, kind, route_hash, msg_key, state, \
             due_ms, tries, created_ms, body) VALUES ",
            " ON DUPLICATE KEY UPDATE kind = VALUES(kind), route_hash = VALUES(route_hash), \
             msg_key = VALUES(msg_key), state = VALUES(state), due_ms = VALUES(due_ms), \
             tries = VALUES(tries), created_ms = VALUES(created_ms), body = VALUES(body)",
            changes.dead_events.iter().filter_map(|(key, row)| Some((key, (*row)?))),
            |text, ((endpoint, shard, seq), row)| {
                text.int(*endpoint).sql(", ").int(shard.get()).sql(", ").int(*seq).sql(", ");
                text.int(row.event.kind).sql(", ").int(row.event.route.to_i64()).sql(", ");
                text.maybe(row.event.key.as_ref().map(Key::as_bytes)).sql(", ");
                text.int(row.state as i16).sql(", ").int(row.due_ms).sql(", ").int(row.tries);
                text.sql(", ").int(row.event.created_ms).sql(", ").bytes(&row.event.body);
            },
        );
        self.insert(
            "refusal",
            ";INSERT INTO refusal (endpoint, shard, seq, tried) VALUES ",
            " ON DUPLICATE KEY UPDATE tried = VALUES(tried)",
            changes.dead_events.iter().filter_map(|(key, row)| Some((key, (*row)?))),
            |text, ((endpoint, shard, seq), row)| {
                text.int(*endpoint).sql(", ").int(shard.get()).sql(", ").int(*seq).sql(", ");
                text.bytes(&codec::tried(&row.tried));
            },
        );
        let by = "t.endpoint = d.endpoint AND t.seq = d.seq";
        for table in ["dead_event", "refusal"] {
            let gone = changes.dead_events.iter().filter(|(_, row)| row.is_none());
            self.delete(table, gone.map(|(key, _)| key), by, |row, (endpoint, shard, seq)| {
                row.int("shard", shard.get()).int("endpoint", *endpoint).int("seq", *seq);
            });
        }
    }

    fn delete_devices<R>(
        &mut self,
        table: &'static str,
        rows: &BTreeMap<(ShardId, Number, i32), Option<R>>,
    ) {
        let gone = rows.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key);
        let by = "t.wa_id = d.wa_id AND t.device = d.device";
        self.delete(table, gone, by, |row, (shard, wa_id, device)| {
            row.int("shard", shard.get()).bytes("wa_id", wa_id.as_bytes()).int("device", *device);
        });
    }

    /// Rows of the account, which no shard is part of.
    fn account(&mut self, changes: &Changes<'_>) {
        self.insert(
            "own_key",
            ";INSERT INTO own_key (kind, id, state, created_ms, body) VALUES ",
            " ON DUPLICATE KEY UPDATE state = VALUES(state), created_ms = VALUES(created_ms), \
             body = VALUES(body)",
            changes.own_keys.values().filter_map(|row| *row),
            |text, row| {
                text.int(row.kind).sql(", ").int(row.id).sql(", ").int(row.state).sql(", ");
                text.int(row.created_ms).sql(", ").bytes(&row.body);
            },
        );
        let gone = changes.own_keys.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key);
        for (kind, id) in gone {
            self.statement("own_key", ";DELETE FROM own_key WHERE kind = ").int(*kind);
            self.text.sql(" AND id = ").int(*id);
        }
        self.insert(
            "media",
            ";INSERT INTO media (id, created_ms, state, size, sha256, mime, source) VALUES ",
            " ON DUPLICATE KEY UPDATE created_ms = VALUES(created_ms), state = VALUES(state), \
             size = VALUES(size), sha256 = VALUES(sha256), mime = VALUES(mime), \
             source = VALUES(source)",
            changes.media.values().filter_map(|row| *row),
            |text, row| {
                text.bytes(row.id.as_bytes()).sql(", ").int(row.created_ms).sql(", ");
                text.int(row.state as i16).sql(", ").int(row.size).sql(", ").bytes(&row.sha256);
                text.sql(", ").bytes(row.mime.as_bytes()).sql(", ").bytes(&row.source);
            },
        );
        for (id, _) in changes.media.iter().filter(|(_, row)| row.is_none()) {
            self.statement("blob_handle", ";DELETE FROM blob_handle WHERE id = ")
                .bytes(id.as_bytes());
            self.statement("media", ";DELETE FROM media WHERE id = ").bytes(id.as_bytes());
        }
        self.insert(
            "blob_handle",
            ";INSERT INTO blob_handle (id, uploaded_ms, handle) VALUES ",
            " ON DUPLICATE KEY UPDATE uploaded_ms = VALUES(uploaded_ms), handle = VALUES(handle)",
            changes.handles.values(),
            |text, row| {
                text.bytes(row.id.as_bytes()).sql(", ").int(row.uploaded_ms).sql(", ");
                text.bytes(row.handle.as_bytes());
            },
        );
        self.insert(
            "config",
            ";INSERT INTO config (name, version, document) VALUES ",
            " ON DUPLICATE KEY UPDATE version = VALUES(version), document = VALUES(document)",
            &changes.configs,
            |text, (name, row)| {
                text.bytes(name.as_bytes()).sql(", ").int(row.version).sql(", ");
                text.bytes(&row.document);
            },
        );
        self.insert(
            "user",
            ";INSERT INTO `user` (name, password_hash, admin, must_change, not_before) VALUES ",
            " ON DUPLICATE KEY UPDATE password_hash = VALUES(password_hash), \
             admin = VALUES(admin), must_change = VALUES(must_change), \
             not_before = VALUES(not_before)",
            changes.users.values().filter_map(|row| *row),
            |text, row| {
                text.bytes(row.name.as_bytes()).sql(", ").bytes(row.password_hash.as_bytes());
                text.sql(", ").int(row.admin).sql(", ").int(row.must_change).sql(", ");
                text.int(row.not_before);
            },
        );
        for (name, _) in changes.users.iter().filter(|(_, row)| row.is_none()) {
            self.statement("user", ";DELETE FROM `user` WHERE name = ").bytes(name.as_bytes());
        }
        self.insert(
            "revoked",
            ";INSERT INTO revoked (rand, expires) VALUES ",
            " ON DUPLICATE KEY UPDATE expires = VALUES(expires)",
            &changes.revoked,
            |text, (rand, row)| {
                text.bytes(rand.as_bytes()).sql(", ").int(row.expires);
            },
        );
    }

    fn trim(&mut self, changes: &Changes<'_>) {
        if let Some(before_s) = changes.trim.revoked {
            self.statement("revoked", ";DELETE FROM revoked WHERE expires < ").int(before_s);
        }
        for (shard, (key, most)) in &changes.trim.messages {
            for (table, begin) in [
                ("message", ";DELETE FROM message WHERE shard = "),
                ("trace", ";DELETE FROM trace WHERE shard = "),
            ] {
                self.statement(table, begin).int(shard.get());
                self.text.sql(" AND `key` < ").bytes(key.as_bytes());
                self.text.sql(" ORDER BY `key` LIMIT ").int(*most);
            }
        }
        for (shard, (first, most)) in &changes.trim.idempotency {
            self.statement("idempotency", ";DELETE FROM idempotency WHERE shard = ");
            self.text.int(shard.get()).sql(" AND hash < ").bytes(first);
            self.text.sql(" ORDER BY hash LIMIT ").int(*most);
        }
        for ((shard, from), (before_ms, most)) in &changes.trim.inbound {
            self.statement(
                "inbound",
                ";DELETE t FROM (SELECT shard, peer_hash, `key` FROM inbound",
            );
            self.text.sql(" WHERE shard = ").int(shard.get());
            self.text.sql(" AND peer_hash >= ").int(from.to_i64());
            self.text.sql(" ORDER BY peer_hash, `key` LIMIT ").int(*most);
            self.text.sql(
                ") d STRAIGHT_JOIN inbound t FORCE INDEX (PRIMARY) \
                 ON t.shard = d.shard AND t.peer_hash = d.peer_hash AND t.`key` = d.`key` \
                 WHERE t.created_ms < ",
            );
            self.text.int(*before_ms);
        }
        for ((endpoint, shard), (before_ms, most)) in &changes.trim.dead_events {
            // First what is found by the other's rows.
            self.statement(
                "refusal",
                ";DELETE t FROM (SELECT endpoint, shard, seq FROM dead_event WHERE endpoint = ",
            );
            self.text.int(*endpoint);
            self.text.sql(" AND shard = ").int(shard.get()).sql(" AND state = 2 AND due_ms < ");
            self.text.int(*before_ms).sql(" ORDER BY seq LIMIT ").int(*most);
            self.text.sql(
                ") d STRAIGHT_JOIN refusal t FORCE INDEX (PRIMARY) \
                 ON t.endpoint = d.endpoint AND t.shard = d.shard AND t.seq = d.seq",
            );
            self.statement("dead_event", ";DELETE FROM dead_event WHERE endpoint = ")
                .int(*endpoint);
            self.text.sql(" AND shard = ").int(shard.get()).sql(" AND state = 2 AND due_ms < ");
            self.text.int(*before_ms).sql(" ORDER BY seq LIMIT ").int(*most);
        }
        // From the old end up to the first event that is too young, so that the log keeps no hole.
        for (shard, (floor, before_ms, most)) in &changes.trim.events {
            self.statement(
                "event",
                ";SELECT max(seq) INTO @last FROM (SELECT seq, min(created_ms < ",
            );
            self.text.int(*before_ms).sql(
                ") OVER (ORDER BY seq) AS old FROM (SELECT seq, created_ms FROM event WHERE shard = ",
            );
            self.text.int(shard.get()).sql(" AND seq <= ").int(*floor);
            self.text.sql(" ORDER BY seq LIMIT ").int(*most).sql(") AS x) AS w WHERE old = 1");
            self.statement("event", ";DELETE FROM event WHERE shard = ").int(shard.get());
            self.text.sql(" AND seq <= @last");
            self.statement("shard", ";UPDATE shard SET event_floor = greatest(event_floor, @last)");
            self.text.sql(" WHERE @last IS NOT NULL AND id = ").int(shard.get());
        }
    }

    fn statement(&mut self, table: &'static str, begin: &'static str) -> &mut Text {
        self.tables.push(table);
        self.text.sql(begin)
    }

    /// Inserts rows with one statement, or none.
    fn insert<T>(
        &mut self,
        table: &'static str,
        begin: &'static str,
        end: &'static str,
        rows: impl IntoIterator<Item = T>,
        each: impl Fn(&mut Text, T),
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return;
        }
        let text = self.statement(table, begin);
        text.list(rows, |text, row| {
            text.sql("(");
            each(text, row);
            text.sql(")");
        });
        text.sql(end);
    }

    /// Deletes rows of a sharded table by its primary key with one statement, or none. `by` is what
    /// makes the key beside the shard.
    fn delete<T>(
        &mut self,
        table: &'static str,
        keys: impl IntoIterator<Item = T>,
        by: &'static str,
        each: impl Fn(&mut Row<'_>, T),
    ) {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return;
        }
        let text = self.statement(table, ";DELETE t FROM ");
        text.keys(keys, each).sql(" d STRAIGHT_JOIN `").sql(table);
        text.sql("` t FORCE INDEX (PRIMARY) ON t.shard = d.shard AND ").sql(by);
    }
}

const JOB: &str = ";INSERT INTO job (shard, id, `key`, route_hash, created_ms, header) VALUES ";
const OUTBOX: &str = ";INSERT INTO outbox (shard, `key`, device, kind, payload) VALUES ";

fn job(text: &mut Text, ((shard, id), row): (&(ShardId, i64), &Job)) {
    text.int(shard.get()).sql(", ").int(*id).sql(", ").bytes(row.key.as_bytes()).sql(", ");
    text.int(row.route.to_i64()).sql(", ").int(row.created_ms).sql(", ").bytes(&row.header);
}

fn outbox(text: &mut Text, ((shard, key, device), row): (&(ShardId, Key, i32), &Outbox)) {
    text.int(shard.get()).sql(", ").bytes(key.as_bytes()).sql(", ").int(*device).sql(", ");
    text.int(row.kind).sql(", ").bytes(&row.payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, fold};

    #[test]
    fn every_statement_is_told_its_table() {
        let batch = Batch { entries: Vec::new() };
        let fence = Fence { inc: -7, lane: 1, batch: 12 };
        let script = script(fence, &fold(&batch));
        assert_eq!(
            str::from_utf8(script.text.as_bytes()).unwrap(),
            "START TRANSACTION;\
             UPDATE lane SET batch = 12 WHERE inc = -7 AND lane = 1 AND live = 1 AND batch = 11;\
             SELECT IF(ROW_COUNT() = 1, 1, (SELECT 1 UNION ALL SELECT 2));COMMIT"
        );
        assert_eq!(script.tables.len(), 3);
    }
}
