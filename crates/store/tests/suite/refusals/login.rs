//! Users, passwords, rights.

use store::{DatabaseUrl, Settings, Store};

use super::{
    Case, at, check,
    server::{PASSWORD, create_user},
    unique,
};
use crate::database::{Database, rng};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_is_told_what_an_administrator_has_to_do() {
    let database = Database::postgres().await;
    drop(database.open().await);
    let admin = database.admin().await;
    let (server, name) = (database.address(), database.name());
    let (poor, full, missing, empty) =
        (unique("poor"), unique("full"), unique("missing"), unique("empty"));
    for statement in [
        create_user(&poor, "NOCREATEDB"),
        create_user(&full, "CONNECTION LIMIT 0"),
        format!("CREATE DATABASE \"{empty}\""),
    ] {
        admin.batch_execute(&statement).await.unwrap();
    }
    let revoke = "REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    let (server_url, _) =
        database.url().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    crate::database::client(&format!("{server_url}/{empty}"))
        .await
        .batch_execute(revoke)
        .await
        .unwrap();
    database
        .sql(&format!("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO \"{poor}\""))
        .await;

    let host = server.ip().to_string();
    let case = |name, user: &str, database: &str, refused| Case {
        name,
        settings: at(&host, server.port(), user, database),
        refused,
    };
    let with = |name, password: &str, words| Case {
        name,
        settings: Settings {
            url: DatabaseUrl::postgres(&host, server.port(), &poor, password, database.name()),
            ..at(&host, server.port(), &poor, "")
        },
        refused: Some(("store_password", words)),
    };
    let names: &[&str] =
        &["database.username (WA_DB_USERNAME)", "database.password (WA_DB_PASSWORD)"];
    check(vec![
        with("a wrong password", "hunter2", names),
        with("no password", "", names),
        case("an unknown user", "nobody-we-know", name, Some(("store_password", names))),
        case(
            "no database and no right to create it",
            &poor,
            &missing,
            Some(("store_create", &["CREATEDB"])),
        ),
        case(
            "tables that may only be read",
            &poor,
            name,
            Some(("store_privilege", &["message", "GRANT SELECT, INSERT, UPDATE, DELETE"])),
        ),
        case(
            "no right to create tables",
            &poor,
            &empty,
            Some(("store_privilege", &["create tables", "ALTER DATABASE"])),
        ),
        case("no connection left", &full, name, Some(("store_full", &["database.lanes"]))),
    ])
    .await;

    database.sql(&format!("REVOKE CONNECT ON DATABASE \"{name}\" FROM PUBLIC")).await;
    check(vec![case(
        "no right to connect",
        &poor,
        name,
        Some(("store_privilege", &["GRANT CONNECT"])),
    )])
    .await;

    // What may be used is used, although not a table of it is the user's own.
    database.sql(&format!("GRANT CONNECT ON DATABASE \"{name}\" TO \"{poor}\"")).await;
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public";
    database.sql(&format!("{grant} TO \"{poor}\"")).await;
    let store = Store::open(at(&host, server.port(), &poor, name), rng()).await.unwrap();
    assert_eq!(store.cluster().shards().await.unwrap().len(), 65);
    drop(store);

    let config = telemetry::config::Database {
        engine: Some(telemetry::config::Engine::PGSQL),
        host: Some(host.clone()),
        port: Some(server.port()),
        username: Some(full.clone()),
        password: Some(telemetry::config::Secret::new(PASSWORD)),
        name_prefix: unique("any_"),
        ..telemetry::config::Database::default()
    };
    admin
        .batch_execute(&format!("ALTER ROLE \"{full}\" CONNECTION LIMIT -1 CREATEDB"))
        .await
        .unwrap();
    let settings = Settings::parse(config.to_url().unwrap().expose()).unwrap();
    drop(Store::open(settings, rng()).await.expect("any characters of a password work"));

    for statement in [
        format!("DROP DATABASE \"{empty}\" WITH (FORCE)"),
        format!("DROP DATABASE \"{}heliograph\" WITH (FORCE)", unique("any_")),
    ] {
        admin.batch_execute(&statement).await.unwrap();
    }
    database.sql(&format!("DROP OWNED BY \"{poor}\"")).await;
    admin.batch_execute(&format!("DROP ROLE \"{poor}\"; DROP ROLE \"{full}\"")).await.unwrap();
    database.remove().await;
}
