//! Users, passwords, rights.

use store::{Settings, Store};
use telemetry::config;

use super::{Case, Engine, Refused, check, of_each_engine, server::PASSWORD, unique};
use crate::database::{Database, rng};

of_each_engine!(
    a_wrong_password_is_told_with_the_settings,
    a_user_who_may_not_is_told_what_an_administrator_has_to_do,
    a_server_or_user_without_a_connection_left_is_told_with_the_settings,
    what_may_be_used_is_used_whatever_characters_the_password_has,
);

const HOST: &str = "127.0.0.1";

/// Users that one test has made, and the databases beside its own.
struct Made<'a> {
    engine: Engine,
    database: &'a Database,
    users: Vec<String>,
    databases: Vec<String>,
}

impl<'a> Made<'a> {
    fn on(engine: Engine, database: &'a Database) -> Self {
        Self { engine, database, users: Vec::new(), databases: Vec::new() }
    }

    async fn user(&mut self, name: &str, rights: &str) -> String {
        let name = unique(name);
        self.database.sql(&self.engine.create_user(&name, rights)).await;
        self.users.push(name.clone());
        name
    }

    async fn grant(&self, rights: &str, user: &str) {
        self.database.sql(&self.engine.grant(rights, self.database.name(), user)).await;
    }

    async fn remove(self) {
        for name in &self.databases {
            let force = self.engine.pick("WITH (FORCE)", "");
            self.database.sql(&format!("DROP DATABASE \"{name}\" {force}")).await;
        }
        for user in &self.users {
            let texts = match self.engine {
                Engine::Postgres => {
                    vec![format!("DROP OWNED BY \"{user}\""), format!("DROP ROLE \"{user}\"")]
                }
                Engine::Mariadb => vec![format!("DROP USER '{user}'@'127.0.0.1'")],
            };
            for text in texts {
                self.database.sql(&text).await;
            }
        }
    }
}

async fn a_wrong_password_is_told_with_the_settings(engine: Engine) {
    let database = engine.database().await;
    drop(database.open().await);
    let mut made = Made::on(engine, &database);
    let poor = made.user("forgetful", "").await;
    let (port, name) = (database.address().port(), database.name());
    let names: &[&str] =
        &["database.username (WA_DB_USERNAME)", "database.password (WA_DB_PASSWORD)"];
    let with = |name, user: &str, password: &str| Case {
        name,
        settings: Settings {
            url: engine.url(HOST, port, user, password, database.name()),
            ..engine.at(HOST, port, user, database.name())
        },
        refused: Some(("store_password", names)),
    };
    check(vec![
        with("a wrong password", &poor, "hunter2"),
        with("no password", &poor, ""),
        with("an unknown user", "nobody-we-know", PASSWORD),
        with("a wrong password with all it may have", &poor, &format!("{PASSWORD}{PASSWORD}")),
    ])
    .await;
    let unknown = engine.at(HOST, port, "nobody-we-know", name);
    let error = Store::open(unknown, rng()).await.err().unwrap().to_string();
    assert!(error.contains("nobody-we-know"), "{error}");
    made.remove().await;
    database.remove().await;
}

async fn a_user_who_may_not_is_told_what_an_administrator_has_to_do(engine: Engine) {
    let database = engine.database().await;
    drop(database.open().await);
    let mut made = Made::on(engine, &database);
    let poor = made.user("poor", "").await;
    let (port, name, missing, empty) =
        (database.address().port(), database.name(), unique("missing"), unique("empty"));
    database.sql(&format!("CREATE DATABASE \"{empty}\"")).await;
    made.databases.push(empty.clone());
    match engine {
        Engine::Postgres => {
            let (server, _) =
                database.url().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            let there = crate::database::client(&format!("{server}/{empty}")).await;
            there.batch_execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await.unwrap();
        }
        // A user without any right to a database does not learn whether it exists.
        Engine::Mariadb => {
            for known in [&empty, &missing] {
                database.sql(&engine.grant("SELECT", known, &poor)).await;
            }
        }
    }
    made.grant("SELECT, INSERT", &poor).await;
    let case = |name, database: &str, refused: Refused| Case {
        name,
        settings: engine.at(HOST, port, &poor, database),
        refused,
    };
    check(vec![
        case(
            "no database and no right to create it",
            &missing,
            Some(("store_create", engine.pick(&["CREATEDB"], &["GRANT CREATE"]))),
        ),
        case(
            "no database, nor any right to one of that name",
            &unique("unheard_of"),
            engine.pick(
                Some(("store_create", &["CREATEDB"])),
                Some(("store_privilege", &["if there is one", "GRANT ALL"])),
            ),
        ),
        case(
            "tables that may only be added to",
            name,
            Some((
                "store_privilege",
                engine.pick(
                    &["message", "GRANT SELECT, INSERT, UPDATE, DELETE"],
                    &["DELETE", "GRANT SELECT, INSERT, UPDATE, DELETE"],
                ),
            )),
        ),
        case(
            "no right to create tables",
            &empty,
            Some((
                "store_privilege",
                engine.pick(&["create tables", "ALTER DATABASE"], &["create tables", "GRANT ALL"]),
            )),
        ),
    ])
    .await;
    match engine {
        Engine::Postgres => {
            database.sql(&format!("REVOKE CONNECT ON DATABASE \"{name}\" FROM PUBLIC")).await;
        }
        Engine::Mariadb => {
            let all = format!("REVOKE ALL ON \"{name}\".* FROM '{poor}'@'127.0.0.1'");
            database.sql(&all).await;
        }
    }
    check(vec![case(
        "no right to connect",
        name,
        Some(("store_privilege", engine.pick(&["GRANT CONNECT"], &["GRANT ALL"]))),
    )])
    .await;
    made.remove().await;
    database.remove().await;
}

async fn a_server_or_user_without_a_connection_left_is_told_with_the_settings(engine: Engine) {
    let with = tempfile::tempdir().unwrap();
    // The least each engine can be set to; three of PostgreSQL's are the administrator's.
    let (file, text, free) = engine.pick(
        ("postgresql.conf", "max_connections = 5\nsuperuser_reserved_connections = 3\n", 2),
        ("my.cnf", "max_connections = 10\n", 10),
    );
    std::fs::write(with.path().join(file), text).unwrap();
    let database = Database::on(engine.server(Some(with.path())).await);
    database.create().await;
    let mut made = Made::on(engine, &database);
    let limited = engine.pick("CONNECTION LIMIT 1", "WITH MAX_USER_CONNECTIONS 1");
    let (single, many) = (made.user("single", limited).await, made.user("many", "").await);
    for user in [&single, &many] {
        if let Engine::Mariadb = engine {
            made.grant("ALL", user).await;
        }
    }
    let of = |user: &str| engine.at(HOST, database.address().port(), user, database.name());
    let names: &[&str] = &[
        "max_connections",
        "database.lanes",
        "database.read_connections",
        "database.control_connections",
    ];
    let case = |name, user| Case { name, settings: of(user), refused: Some(("store_full", names)) };
    let held = engine.hold(&of(&single)).await;
    check(vec![case("none left for this user", &single)]).await;
    drop(held);

    let mut held = Vec::new();
    for _ in 0..free {
        held.push(engine.hold(&of(&many)).await);
    }
    check(vec![case("none left for anybody", &many)]).await;
}

async fn what_may_be_used_is_used_whatever_characters_the_password_has(engine: Engine) {
    let database = engine.database().await;
    drop(database.open().await);
    let mut made = Made::on(engine, &database);
    let user = made.user("fair", engine.pick("CREATEDB", "")).await;
    // Not a table of it is the user's own.
    made.grant("SELECT, INSERT, UPDATE, DELETE", &user).await;
    let port = database.address().port();
    let store = Store::open(engine.at(HOST, port, &user, database.name()), rng()).await.unwrap();
    assert_eq!(store.cluster().shards().await.unwrap().len(), 65);
    drop(store);

    // From the parts of the original's environment, and a database that is missing.
    let prefix = unique("any_");
    let own = format!("{prefix}heliograph");
    if let Engine::Mariadb = engine {
        database.sql(&engine.grant("ALL", &own, &user)).await;
    }
    let parts = config::Database {
        engine: Some(engine.pick(config::Engine::PGSQL, config::Engine::MYSQL)),
        host: Some(HOST.to_owned()),
        port: Some(port),
        username: Some(user.clone()),
        password: Some(config::Secret::new(PASSWORD)),
        name_prefix: prefix,
        ..config::Database::default()
    };
    let settings = Settings::parse(parts.to_url().unwrap().expose()).unwrap();
    drop(Store::open(settings, rng()).await.expect("any characters of a password work"));
    made.databases.push(own);
    made.remove().await;
    database.remove().await;
}
