//! A batch as one transaction: begin, fence, rows, commit, without leaving the thread.

use diesel::{
    QueryResult, RunQueryDsl, SqliteConnection,
    result::{DatabaseErrorKind, Error},
    sql_types::{BigInt, SmallInt},
};

use crate::{
    batch::Changes,
    codec,
    lanes::{Done, Fence, Refusal},
    sqlite::stmt::{
        Bind::{self, Big, Bytes, Maybe, Small},
        Stmt, execute,
    },
};

/// Commits, and tells how many rows were touched.
pub(crate) fn commit(
    conn: &mut SqliteConnection,
    fence: Fence,
    changes: &Changes<'_>,
) -> (usize, Done) {
    let result = execute(conn, "BEGIN IMMEDIATE", &[])
        .and_then(|_| move_fence(conn, fence))
        .and_then(|held| if held { apply(conn, changes).map(Some) } else { Ok(None) });
    let done = match result {
        Ok(Some(rows)) => match execute(conn, "COMMIT", &[]) {
            Ok(_) => return (rows, Done::Committed),
            Err(error) => lost(&error),
        },
        Ok(None) => Done::NoRow,
        Err(error) => refusal(&error).map_or_else(|| lost(&error), Done::Refused),
    };
    // Without a transaction there is nothing to roll back, and that is well too: only a connection
    // that can still begin one is of any use.
    if let Err(error) = execute(conn, "ROLLBACK", &[]) {
        return match done {
            Done::Refused(_) => (0, lost(&error)),
            done => (0, done),
        };
    }
    (0, done)
}

/// The lane's row. The connection is new and the only writer, so nothing is open elsewhere.
pub(crate) fn ask(conn: &mut SqliteConnection, fence: Fence) -> QueryResult<Option<(bool, i64)>> {
    let rows: Vec<(i16, i64)> = Stmt::<(SmallInt, BigInt)>::new(
        "SELECT live, batch FROM lane WHERE inc = ? AND lane = ?",
        &[Big(fence.inc), Small(fence.lane)],
    )
    .load(conn)?;
    Ok(rows.as_slice().first().map(|(live, batch)| (*live == 1, *batch)))
}

fn move_fence(conn: &mut SqliteConnection, fence: Fence) -> QueryResult<bool> {
    let Fence { inc, lane, batch } = fence;
    let rows = execute(
        conn,
        "UPDATE lane SET batch = ? WHERE inc = ? AND lane = ? AND live = 1 AND batch = ?",
        &[Big(batch), Big(inc), Small(lane), Big(batch - 1)],
    )?;
    Ok(rows == 1)
}

fn lost(error: &Error) -> Done {
    Done::Lost { answered: true, why: error.to_string() }
}

/// The constraint that a statement broke, if it did.
fn refusal(error: &Error) -> Option<Refusal> {
    let Error::DatabaseError(kind, info) = error else { return None };
    let why = info.message().to_owned();
    match kind {
        DatabaseErrorKind::UniqueViolation => {
            // UNIQUE constraint failed: message.shard, message.key
            let taken_in = why
                .split_once(": ")
                .and_then(|(_, columns)| columns.split_once('.'))
                .map(|(table, _)| table.to_owned());
            Some(Refusal { taken_in, why })
        }
        DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::CheckViolation
        | DatabaseErrorKind::ForeignKeyViolation => Some(Refusal { taken_in: None, why }),
        _ => None,
    }
}

fn apply(conn: &mut SqliteConnection, changes: &Changes<'_>) -> QueryResult<usize> {
    let mut rows = 1;
    let mut run = |text: &'static str, binds: &[Bind<'_>]| -> QueryResult<usize> {
        rows += 1;
        execute(conn, text, binds)
    };
    for (shard, row) in &changes.messages {
        run(
            "INSERT INTO message (shard, key, created_ms, body_hash, body) VALUES (?, ?, ?, ?, ?)",
            &[
                Small(shard.get()),
                Bytes(row.key.as_bytes()),
                Big(row.created_ms),
                Bytes(&row.body_hash),
                Bytes(&row.body),
            ],
        )?;
    }
    for (shard, key, context) in &changes.traces {
        run(
            "INSERT OR IGNORE INTO trace (shard, key, context) VALUES (?, ?, ?)",
            &[Small(shard.get()), Bytes(key.as_bytes()), Bytes(context)],
        )?;
    }
    for ((shard, id), row) in changes.jobs.inserts() {
        run(
            "INSERT INTO job (shard, id, key, route_hash, created_ms, header) \
             VALUES (?, ?, ?, ?, ?, ?)",
            &[
                Small(shard.get()),
                Big(*id),
                Bytes(row.key.as_bytes()),
                Big(row.route.to_i64()),
                Big(row.created_ms),
                Bytes(&row.header),
            ],
        )?;
    }
    for ((shard, id), row) in changes.jobs.puts() {
        run(
            "INSERT OR REPLACE INTO job (shard, id, key, route_hash, created_ms, header) \
             VALUES (?, ?, ?, ?, ?, ?)",
            &[
                Small(shard.get()),
                Big(*id),
                Bytes(row.key.as_bytes()),
                Big(row.route.to_i64()),
                Big(row.created_ms),
                Bytes(&row.header),
            ],
        )?;
    }
    for (shard, id) in changes.jobs.deletes() {
        run("DELETE FROM job WHERE shard = ? AND id = ?", &[Small(shard.get()), Big(*id)])?;
    }
    for ((shard, key, device), row) in changes.outbox.inserts() {
        run(
            "INSERT INTO outbox (shard, key, device, kind, payload) VALUES (?, ?, ?, ?, ?)",
            &[
                Small(shard.get()),
                Bytes(key.as_bytes()),
                Big((*device).into()),
                Small(row.kind),
                Bytes(&row.payload),
            ],
        )?;
    }
    for ((shard, key, device), row) in changes.outbox.puts() {
        run(
            "INSERT OR REPLACE INTO outbox (shard, key, device, kind, payload) \
             VALUES (?, ?, ?, ?, ?)",
            &[
                Small(shard.get()),
                Bytes(key.as_bytes()),
                Big((*device).into()),
                Small(row.kind),
                Bytes(&row.payload),
            ],
        )?;
    }
    for (shard, key, device) in changes.outbox.deletes() {
        run(
            "DELETE FROM outbox WHERE shard = ? AND key = ? AND device = ?",
            &[Small(shard.get()), Bytes(key.as_bytes()), Big((*device).into())],
        )?;
    }
    for (shard, seq, row) in &changes.events {
        run(
            "INSERT INTO event (shard, seq, kind, route_hash, msg_key, held, created_ms, body) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            &[
                Small(shard.get()),
                Big(*seq),
                Small(row.kind),
                Big(row.route.to_i64()),
                Maybe(row.key.as_ref().map(contract::Key::as_bytes)),
                Small(row.held.into()),
                Big(row.created_ms),
                Bytes(&row.body),
            ],
        )?;
    }
    for (shard, row) in &changes.inbound {
        run(
            "INSERT INTO inbound (shard, peer_hash, key, created_ms) VALUES (?, ?, ?, ?)",
            &[
                Small(shard.get()),
                Big(row.peer.to_i64()),
                Bytes(row.key.as_bytes()),
                Big(row.created_ms),
            ],
        )?;
    }
    for (shard, dated, row) in &changes.idempotency {
        run(
            "INSERT INTO idempotency (shard, hash, created_ms, key) VALUES (?, ?, ?, ?)",
            &[Small(shard.get()), Bytes(dated), Big(row.created_ms), Bytes(row.key.as_bytes())],
        )?;
    }
    for ((shard, number), row) in &changes.contacts {
        match row {
            Some(row) => run(
                "INSERT OR REPLACE INTO contact (shard, number, wa_id, checked_ms) \
                 VALUES (?, ?, ?, ?)",
                &[
                    Small(shard.get()),
                    Bytes(number.as_bytes()),
                    Maybe(row.wa_id.as_ref().map(contract::Number::as_bytes)),
                    Big(row.checked_ms),
                ],
            )?,
            None => run(
                "DELETE FROM contact WHERE shard = ? AND number = ?",
                &[Small(shard.get()), Bytes(number.as_bytes())],
            )?,
        };
    }
    for ((endpoint, shard), row) in &changes.cursors {
        run(
            "INSERT OR REPLACE INTO cursor (endpoint, shard, read_to, holes) VALUES (?, ?, ?, ?)",
            &[Small(*endpoint), Small(shard.get()), Big(row.read_to), Bytes(&row.holes)],
        )?;
    }
    for ((shard, wa_id, device), row) in &changes.sessions {
        let [of, peer, device] =
            [Small(shard.get()), Bytes(wa_id.as_bytes()), Big((*device).into())];
        if let Some(row) = row {
            run(
                "INSERT OR REPLACE INTO session (shard, wa_id, device, generation, record) \
                 VALUES (?, ?, ?, ?, ?)",
                &[of, peer, device, Big(row.generation), Bytes(&row.record)],
            )?;
            run(
                "INSERT OR REPLACE INTO session_mark (shard, wa_id, device, mark) \
                 VALUES (?, ?, ?, ?)",
                &[of, peer, device, Bytes(&codec::mark(&row.record))],
            )?;
        } else {
            let key = [of, peer, device];
            run("DELETE FROM session WHERE shard = ? AND wa_id = ? AND device = ?", &key)?;
            run("DELETE FROM session_mark WHERE shard = ? AND wa_id = ? AND device = ?", &key)?;
        }
    }
    for ((shard, wa_id, device), row) in &changes.identities {
        let [of, peer, device] =
            [Small(shard.get()), Bytes(wa_id.as_bytes()), Big((*device).into())];
        match row {
            Some(row) => run(
                "INSERT OR REPLACE INTO identity \
                 (shard, wa_id, device, key, created_ms, acknowledged) VALUES (?, ?, ?, ?, ?, ?)",
                &[
                    of,
                    peer,
                    device,
                    Bytes(&row.key),
                    Big(row.created_ms),
                    Small(row.acknowledged.into()),
                ],
            )?,
            None => run(
                "DELETE FROM identity WHERE shard = ? AND wa_id = ? AND device = ?",
                &[of, peer, device],
            )?,
        };
    }
    if changes.has_rare() {
        rows += late_events(conn, changes)? + control(conn, changes)? + trim(conn, changes)?;
    }
    Ok(rows)
}

/// What becomes of events that were written before.
fn late_events(conn: &mut SqliteConnection, changes: &Changes<'_>) -> QueryResult<usize> {
    let mut rows = 0;
    for ((shard, seq), row) in &changes.releases {
        rows += execute(
            conn,
            "UPDATE event SET held = 0, body = ? WHERE shard = ? AND seq = ? AND held = 1",
            &[Bytes(&row.body), Small(shard.get()), Big(*seq)],
        )?;
    }
    for ((endpoint, shard, seq), row) in &changes.dead_events {
        let key = [Small(*endpoint), Small(shard.get()), Big(*seq)];
        rows += match row {
            Some(row) => execute(
                conn,
                "INSERT OR REPLACE INTO dead_event (endpoint, shard, seq, kind, route_hash, \
                 msg_key, state, due_ms, tries, created_ms, body) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                &[
                    key[0],
                    key[1],
                    key[2],
                    Small(row.event.kind),
                    Big(row.event.route.to_i64()),
                    Maybe(row.event.key.as_ref().map(contract::Key::as_bytes)),
                    Small(row.state as i16),
                    Big(row.due_ms),
                    Big(row.tries.into()),
                    Big(row.event.created_ms),
                    Bytes(&row.event.body),
                ],
            )?,
            None => execute(
                conn,
                "DELETE FROM dead_event WHERE endpoint = ? AND shard = ? AND seq = ?",
                &key,
            )?,
        };
        rows += match row {
            Some(row) => execute(
                conn,
                "INSERT OR REPLACE INTO refusal (endpoint, shard, seq, tried) VALUES (?, ?, ?, ?)",
                &[key[0], key[1], key[2], Bytes(&codec::tried(&row.tried))],
            )?,
            None => execute(
                conn,
                "DELETE FROM refusal WHERE endpoint = ? AND shard = ? AND seq = ?",
                &key,
            )?,
        };
    }
    Ok(rows)
}

fn control(conn: &mut SqliteConnection, changes: &Changes<'_>) -> QueryResult<usize> {
    let mut rows = 0;
    for ((kind, id), row) in &changes.own_keys {
        rows += match row {
            Some(row) => execute(
                conn,
                "INSERT OR REPLACE INTO own_key (kind, id, state, created_ms, body) \
                 VALUES (?, ?, ?, ?, ?)",
                &[Small(*kind), Big(*id), Small(row.state), Big(row.created_ms), Bytes(&row.body)],
            )?,
            None => execute(
                conn,
                "DELETE FROM own_key WHERE kind = ? AND id = ?",
                &[Small(*kind), Big(*id)],
            )?,
        };
    }
    for ((shard, route), row) in &changes.blocked {
        let [of, route] = [Small(shard.get()), Big(route.to_i64())];
        rows += match row {
            Some(row) => execute(
                conn,
                "INSERT OR REPLACE INTO blocked (shard, route_hash, number, created_ms) \
                 VALUES (?, ?, ?, ?)",
                &[of, route, Bytes(row.number.as_bytes()), Big(row.created_ms)],
            )?,
            None => execute(
                conn,
                "DELETE FROM blocked WHERE shard = ? AND route_hash = ?",
                &[of, route],
            )?,
        };
    }
    for (id, row) in &changes.media {
        rows += match row {
            Some(row) => execute(
                conn,
                "INSERT OR REPLACE INTO media (id, created_ms, state, size, sha256, mime, source) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
                &[
                    Bytes(id.as_bytes()),
                    Big(row.created_ms),
                    Small(row.state as i16),
                    Big(row.size),
                    Bytes(&row.sha256),
                    Bytes(row.mime.as_bytes()),
                    Bytes(&row.source),
                ],
            )?,
            None => {
                let id = [Bytes(id.as_bytes())];
                execute(conn, "DELETE FROM blob_handle WHERE id = ?", &id)?
                    + execute(conn, "DELETE FROM media WHERE id = ?", &id)?
            }
        };
    }
    for (id, row) in &changes.handles {
        rows += execute(
            conn,
            "INSERT OR REPLACE INTO blob_handle (id, uploaded_ms, handle) VALUES (?, ?, ?)",
            &[Bytes(id.as_bytes()), Big(row.uploaded_ms), Bytes(row.handle.as_bytes())],
        )?;
    }
    for (name, row) in &changes.configs {
        rows += execute(
            conn,
            "INSERT OR REPLACE INTO config (name, version, document) VALUES (?, ?, ?)",
            &[Bytes(name.as_bytes()), Big(row.version), Bytes(&row.document)],
        )?;
    }
    for (name, row) in &changes.users {
        rows += match row {
            Some(row) => execute(
                conn,
                "INSERT OR REPLACE INTO user (name, password_hash, admin, must_change, not_before) \
                 VALUES (?, ?, ?, ?, ?)",
                &[
                    Bytes(name.as_bytes()),
                    Bytes(row.password_hash.as_bytes()),
                    Small(row.admin.into()),
                    Small(row.must_change.into()),
                    Big(row.not_before),
                ],
            )?,
            None => execute(conn, "DELETE FROM user WHERE name = ?", &[Bytes(name.as_bytes())])?,
        };
    }
    for (rand, row) in &changes.revoked {
        rows += execute(
            conn,
            "INSERT OR REPLACE INTO revoked (rand, expires) VALUES (?, ?)",
            &[Bytes(rand.as_bytes()), Big(row.expires)],
        )?;
    }
    Ok(rows)
}

fn trim(conn: &mut SqliteConnection, changes: &Changes<'_>) -> QueryResult<usize> {
    let mut rows = 0;
    for (shard, (floor, before_ms, limit)) in &changes.trim.events {
        // From the old end up to the first event that is too young, so that the log keeps no hole.
        let last: Vec<i64> = Stmt::<BigInt>::new(
            "SELECT seq FROM (SELECT seq, min(created_ms < ?) OVER (ORDER BY seq) AS old FROM \
             (SELECT seq, created_ms FROM event WHERE shard = ? AND seq <= ? ORDER BY seq LIMIT ?)) \
             WHERE old = 1 ORDER BY seq DESC LIMIT 1",
            &[Big(*before_ms), Small(shard.get()), Big(*floor), Big((*limit).into())],
        )
        .load(conn)?;
        let Some(last) = last.as_slice().first() else { continue };
        rows += execute(
            conn,
            "DELETE FROM event WHERE shard = ? AND seq <= ?",
            &[Small(shard.get()), Big(*last)],
        )?;
        rows += execute(
            conn,
            "UPDATE shard SET event_floor = max(event_floor, ?) WHERE id = ?",
            &[Big(*last), Small(shard.get())],
        )?;
    }
    for (shard, (key, limit)) in &changes.trim.messages {
        let of = Small(shard.get());
        for text in [
            "DELETE FROM message WHERE shard = ? AND key IN \
             (SELECT key FROM message WHERE shard = ? AND key < ? ORDER BY key LIMIT ?)",
            "DELETE FROM trace WHERE shard = ? AND key IN \
             (SELECT key FROM trace WHERE shard = ? AND key < ? ORDER BY key LIMIT ?)",
        ] {
            let which = [of, of, Bytes(key.as_bytes()), Big((*limit).into())];
            rows += execute(conn, text, &which)?;
        }
    }
    for ((shard, from), (before_ms, limit)) in &changes.trim.inbound {
        rows += execute(
            conn,
            "DELETE FROM inbound WHERE shard = ? AND created_ms < ? AND (peer_hash, key) IN \
             (SELECT peer_hash, key FROM inbound WHERE shard = ? AND peer_hash >= ? \
              ORDER BY peer_hash, key LIMIT ?)",
            &[
                Small(shard.get()),
                Big(*before_ms),
                Small(shard.get()),
                Big(from.to_i64()),
                Big((*limit).into()),
            ],
        )?;
    }
    for ((endpoint, shard), (before_ms, limit)) in &changes.trim.dead_events {
        let of = [Small(*endpoint), Small(shard.get())];
        let which = [of[0], of[1], of[0], of[1], Big(*before_ms), Big((*limit).into())];
        // First what is found by the other's rows.
        for text in [
            "DELETE FROM refusal WHERE endpoint = ? AND shard = ? AND seq IN \
             (SELECT seq FROM dead_event WHERE endpoint = ? AND shard = ? AND state = 2 \
              AND due_ms < ? ORDER BY seq LIMIT ?)",
            "DELETE FROM dead_event WHERE endpoint = ? AND shard = ? AND seq IN \
             (SELECT seq FROM dead_event WHERE endpoint = ? AND shard = ? AND state = 2 \
              AND due_ms < ? ORDER BY seq LIMIT ?)",
        ] {
            rows += execute(conn, text, &which)?;
        }
    }
    for (shard, (first, limit)) in &changes.trim.idempotency {
        rows += execute(
            conn,
            "DELETE FROM idempotency WHERE shard = ? AND hash IN \
             (SELECT hash FROM idempotency WHERE shard = ? AND hash < ? ORDER BY hash LIMIT ?)",
            &[Small(shard.get()), Small(shard.get()), Bytes(first), Big((*limit).into())],
        )?;
    }
    if let Some(before_s) = changes.trim.revoked {
        rows += execute(conn, "DELETE FROM revoked WHERE expires < ?", &[Big(before_s)])?;
    }
    Ok(rows)
}
