//! The tables that are read with Diesel's query language. The statements that write, and those that
//! must come back in one round trip, are fixed texts of the engines' modules.
//!
//! The tables themselves are made by `migrations/`; only types that every engine has are used.

diesel::table! {
    message (shard, key) {
        shard -> SmallInt,
        key -> Binary,
        created_ms -> BigInt,
        body_hash -> Binary,
        body -> Binary,
    }
}

diesel::table! {
    job (shard, id) {
        shard -> SmallInt,
        id -> BigInt,
        key -> Binary,
        route_hash -> BigInt,
        created_ms -> BigInt,
        header -> Binary,
    }
}

diesel::table! {
    outbox (shard, key, device) {
        shard -> SmallInt,
        key -> Binary,
        device -> BigInt,
        kind -> SmallInt,
        payload -> Binary,
    }
}

diesel::table! {
    contact (shard, number) {
        shard -> SmallInt,
        number -> Binary,
        wa_id -> Nullable<Binary>,
        checked_ms -> BigInt,
    }
}

diesel::table! {
    inbound (shard, peer_hash, key) {
        shard -> SmallInt,
        peer_hash -> BigInt,
        key -> Binary,
        created_ms -> BigInt,
    }
}

diesel::table! {
    blocked (shard, route_hash) {
        shard -> SmallInt,
        route_hash -> BigInt,
        number -> Binary,
        created_ms -> BigInt,
    }
}

diesel::table! {
    event (shard, seq) {
        shard -> SmallInt,
        seq -> BigInt,
        kind -> SmallInt,
        route_hash -> BigInt,
        msg_key -> Nullable<Binary>,
        held -> SmallInt,
        created_ms -> BigInt,
        body -> Binary,
    }
}

diesel::table! {
    cursor (endpoint, shard) {
        endpoint -> SmallInt,
        shard -> SmallInt,
        read_to -> BigInt,
        holes -> Binary,
    }
}

diesel::table! {
    dead_event (endpoint, shard, seq) {
        endpoint -> SmallInt,
        shard -> SmallInt,
        seq -> BigInt,
        kind -> SmallInt,
        route_hash -> BigInt,
        msg_key -> Nullable<Binary>,
        state -> SmallInt,
        due_ms -> BigInt,
        tries -> BigInt,
        created_ms -> BigInt,
        body -> Binary,
    }
}

diesel::table! {
    refusal (endpoint, shard, seq) {
        endpoint -> SmallInt,
        shard -> SmallInt,
        seq -> BigInt,
        tried -> Binary,
    }
}

diesel::table! {
    trace (shard, key) {
        shard -> SmallInt,
        key -> Binary,
        context -> Binary,
    }
}

diesel::allow_tables_to_appear_in_same_query!(dead_event, refusal, trace);
diesel::allow_tables_to_appear_in_same_query!(job, trace);
diesel::allow_tables_to_appear_in_same_query!(event, trace);

diesel::table! {
    media (id) {
        id -> Binary,
        created_ms -> BigInt,
        state -> SmallInt,
        size -> BigInt,
        sha256 -> Binary,
        mime -> Binary,
        source -> Binary,
    }
}

diesel::table! {
    blob_handle (id) {
        id -> Binary,
        uploaded_ms -> BigInt,
        handle -> Binary,
    }
}

diesel::allow_tables_to_appear_in_same_query!(media, blob_handle);

diesel::table! {
    own_key (kind, id) {
        kind -> SmallInt,
        id -> BigInt,
        state -> SmallInt,
        created_ms -> BigInt,
        body -> Binary,
    }
}

diesel::table! {
    config (name) {
        name -> Binary,
        version -> BigInt,
        document -> Binary,
    }
}

diesel::table! {
    user (name) {
        name -> Binary,
        password_hash -> Binary,
        admin -> SmallInt,
        must_change -> SmallInt,
        not_before -> BigInt,
    }
}

diesel::table! {
    revoked (rand) {
        rand -> Binary,
        expires -> BigInt,
    }
}

diesel::table! {
    generation (number, shard) {
        #[sql_name = "generation"]
        number -> BigInt,
        shard -> SmallInt,
        first_seq -> BigInt,
    }
}

diesel::table! {
    shard (id) {
        id -> SmallInt,
        owner_inc -> BigInt,
        epoch -> BigInt,
        event_floor -> BigInt,
    }
}
