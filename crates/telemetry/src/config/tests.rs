//! Which layer wins, and what an error says.

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Role {
    database: Database,
    webapp: Webapp,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Webapp {
    coreapps: Vec<String>,
    server_names: Vec<String>,
    api_key: Option<Secret>,
    workers: u16,
    strict: bool,
}

const WANTED: &[&str] = &["database", "webapp"];

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn sources(text: &str, pairs: &[(&str, &str)]) -> (tempfile::NamedTempFile, Sources) {
    let file = file(text);
    let sources = Sources::new(Some(file.path().to_owned()), env(pairs));
    (file, sources)
}

fn error(text: &str, pairs: &[(&str, &str)]) -> String {
    let (_file, sources) = sources(text, pairs);
    load::<Role>(&sources, WANTED).unwrap_err().to_string()
}

#[test]
fn option_beats_wa_beats_own_variable_beats_file_beats_default() {
    let text = "[database]\nport = 1\nhost = \"file\"\nusername = \"file\"\n";
    let own = ("HELIOGRAPH_DATABASE__PORT", "2");
    let own_host = ("HELIOGRAPH_DATABASE__HOST", "own");
    let (_file, sources) =
        sources(text, &[own, own_host, ("WA_DB_PORT", "3"), ("WA_DB_ENGINE", "PGSQL")]);
    let role: Role = load(&sources, WANTED).unwrap();
    assert_eq!(role.database.port, Some(3));
    assert_eq!(role.database.to_url().unwrap().expose(), "postgres://file@own:3/heliograph");
    let sources = sources.flag("--database-port", "database.port", "4");
    let role: Role = load(&sources, WANTED).unwrap();
    assert_eq!(role.database.port, Some(4));
    assert_eq!(role.database.name_prefix, "");
}

#[test]
fn parts_from_the_originals_environment_beat_a_whole_url_of_the_file() {
    let text = "[database]\nurl = \"sqlite:somewhere.db\"\n";
    let (_file, sources) = sources(
        text,
        &[
            ("WA_DB_ENGINE", "PGSQL"),
            ("WA_DB_HOSTNAME", "db"),
            ("WA_DB_USERNAME", "wa"),
            ("WA_DB_PASSWORD", "0?{}&~!()^=@/%é"),
            ("WA_DB_NAME_PREFIX", "test_"),
        ],
    );
    let role: Role = load(&sources, WANTED).unwrap();
    assert_eq!(
        role.database.to_url().unwrap().expose(),
        "postgres://wa:0%3F%7B%7D%26~%21%28%29%5E%3D%40%2F%25%C3%A9@db:5432/test_heliograph"
    );
    let mysql =
        load::<Role>(&sources.clone().flag("-", "database.engine", "MYSQL"), WANTED).unwrap();
    assert_eq!(
        mysql.database.to_url().unwrap().expose(),
        "mysql://wa:0%3F%7B%7D%26~%21%28%29%5E%3D%40%2F%25%C3%A9@db:3306/test_heliograph"
    );
    let role: Role =
        load(&sources.flag("--database", "database.url", "sqlite:x.db"), WANTED).unwrap();
    assert_eq!(role.database.to_url().unwrap().expose(), "sqlite:x.db");
}

#[test]
fn text_becomes_what_the_type_asks_for() {
    let (_file, sources) = sources(
        "",
        &[
            ("HELIOGRAPH_WEBAPP__WORKERS", "1_0"),
            ("HELIOGRAPH_WEBAPP__STRICT", "yes"),
            ("HELIOGRAPH_DATABASE__PASSWORD", "007"),
            ("WACORE_HOSTNAME", "a:1, b:2"),
            ("WA_WEB_SERVERNAME", "gateway.example"),
        ],
    );
    let role: Role = load(&sources, WANTED).unwrap();
    assert_eq!((role.webapp.workers, role.webapp.strict), (10, true));
    assert_eq!(role.webapp.coreapps, ["a:1", "b:2"]);
    assert_eq!(role.webapp.server_names, ["gateway.example"]);
    assert_eq!(role.database.password.unwrap().expose(), "007");
}

#[test]
fn a_secret_is_read_from_the_file_that_is_named() {
    let secret = file("  correct horse battery\n");
    let path = secret.path().to_str().unwrap();
    for name in ["WA_API_KEY_FILE", "HELIOGRAPH_WEBAPP__API_KEY_FILE"] {
        let (_file, sources) = sources("", &[(name, path)]);
        let role: Role = load(&sources, WANTED).unwrap();
        assert_eq!(role.webapp.api_key.unwrap().expose(), "correct horse battery", "{name}");
    }
    let message = error("", &[("WA_DB_PASSWORD_FILE", "/nowhere/password")]);
    assert!(message.contains("/nowhere/password"), "{message}");
    assert!(message.contains("WA_DB_PASSWORD_FILE"), "{message}");
    assert!(message.contains("database.password"), "{message}");
}

#[test]
fn an_error_names_the_setting_its_source_and_the_remedy() {
    for (text, pairs, parts) in [
        ("[database]\nprot = 1\n", &[][..], &["database.prot", "did you mean database.port?"][..]),
        ("[databse]\nport = 1\n", &[], &["databse", "did you mean the section database?"]),
        (
            "",
            &[("HELIOGRAPH_WEBAPP__APIKEY", "x")],
            &["webapp.apikey", "HELIOGRAPH_WEBAPP__APIKEY", "did you mean webapp.api_key?"],
        ),
        ("", &[("HELIOGRAPH_WEB__PORT", "1")], &["HELIOGRAPH_WEB__PORT", "known here: account"]),
        ("", &[("WA_DB_PORT", "70000")], &["database.port", "WA_DB_PORT", "70000"]),
        ("", &[("WA_DB_PORT", "x")], &["database.port", "WA_DB_PORT", "a whole number"]),
        ("", &[("WA_API_KEY", "short")], &["webapp.api_key", "WA_API_KEY", "12 to 128"]),
        ("", &[("WA_DB_ENGINE", "ORACLE")], &["database.engine", "WA_DB_ENGINE", "PGSQL"]),
        ("[database\n", &[], &["configuration file"]),
    ] {
        let message = error(text, pairs);
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    }
}

#[test]
fn a_value_of_the_file_is_blamed_on_the_file() {
    let (file, sources) = sources("[webapp]\nworkers = \"many\"\n", &[]);
    let message = load::<Role>(&sources, WANTED).unwrap_err().to_string();
    assert!(message.contains(&*file.path().to_string_lossy()), "{message}");
}

#[test]
fn what_another_role_reads_is_left_alone() {
    let (_file, sources) = sources(
        "[sandbox]\nlatency = 1\n",
        &[("HELIOGRAPH_COREAPP__X", "1"), ("HELIOGRAPH_PASSWORD", "x"), ("WA_MASTER_NODE", "1")],
    );
    load::<Role>(&sources, WANTED).unwrap();
}

#[test]
fn every_name_of_the_original_about_the_database_is_understood() {
    let all = [
        ("WA_DB_ENGINE", "PGSQL"),
        ("WA_DB_HOSTNAME", "db"),
        ("WA_DB_PORT", "6543"),
        ("WA_DB_USERNAME", "wa"),
        ("WA_DB_PASSWORD", "p"),
        ("WA_DB_NAME_PREFIX", "x_"),
        ("WA_DB_CONNECTION_IDLE_TIMEOUT", "90000"),
        ("WA_DB_PERSISTENT", "1"),
        ("WA_DB_SSL_CA", "/ca.pem"),
        ("WA_DB_SSL_CERT", "/cert.pem"),
        ("WA_DB_SSL_KEY", "/key.pem"),
        ("WA_DB_CONNECTION_OPTION", "x"),
        ("WA_DB_UPGRADE", "1"),
    ];
    let (_file, sources) = sources("", &all);
    let database = load::<Role>(&sources, WANTED).unwrap().database;
    assert_eq!(database.to_url().unwrap().expose(), "postgres://wa:p@db:6543/x_heliograph");
    assert_eq!(database.idle_timeout_ms, Some(90_000));
    assert_eq!(database.ssl_ca.as_deref(), Some("/ca.pem"));
    assert_eq!(database.ssl_cert.as_deref(), Some("/cert.pem"));
    assert_eq!(database.ssl_key.unwrap().expose(), "/key.pem");
    assert!(database.upgrade);
    let without: Vec<_> = without_effect(&sources.env).map(|(name, _)| name).collect();
    assert_eq!(without, ["WA_DB_PERSISTENT", "WA_DB_CONNECTION_OPTION"]);
    assert_eq!(without_effect(&env(&[("WA_DB_PERSISTENT", "")])).count(), 0);
}

#[test]
fn a_name_of_the_original_means_something_or_is_said_to_have_no_effect() {
    let told = [
        "WA_CONFIG_ON_DB",
        "WA_APP_MULTICONNECT",
        "WA_MASTER_NODE",
        "COREAPP_EXTERNAL_PORTS",
        "WEBAPP_HOSTNAME",
        "WEBAPP_EXTERNAL_PORTS",
        "WA_WEB_SECURITY_LEVEL",
        "http_proxy",
        "https_proxy",
    ];
    let known = ["COREAPP_HOSTNAME", "WA_SECRET", "WA_WEB_SERVERNAME", "WA_RUNNING_ENV"];
    let set: Vec<_> = told.iter().chain(&known).map(|name| (*name, "1")).collect();
    let without: Vec<_> = without_effect(&env(&set)).map(|(name, _)| name).collect();
    assert_eq!(without, told);
}

#[test]
fn a_tls_mode_that_may_fall_back_to_clear_text_is_refused() {
    for (mode, says) in [("prefer", "clear text"), ("verify", "verify-full")] {
        let message = error(&format!("[database]\nssl_mode = \"{mode}\"\n"), &[]);
        assert!(message.contains("database.ssl_mode") && message.contains(says), "{message}");
    }
    let (_file, sources) = sources("[database]\nssl_mode = \"verify-ca\"\n", &[]);
    let role: Role = load(&sources, WANTED).unwrap();
    assert_eq!(role.database.ssl_mode, Some(SslMode::VerifyCa));
}

#[test]
fn a_server_without_a_host_is_refused_with_the_name_to_set() {
    let (_file, sources) = sources("", &[("WA_DB_ENGINE", "PGSQL")]);
    let role: Role = load(&sources, WANTED).unwrap();
    let message = role.database.to_url().unwrap_err().to_string();
    assert!(message.contains("database.host") && message.contains("WA_DB_HOSTNAME"), "{message}");
}

#[test]
fn no_secret_is_in_debug_output() {
    let (_file, sources) = sources("", &[("WA_DB_PASSWORD", "hunter2")]);
    let role: Role = load(&sources, WANTED).unwrap();
    assert!(!format!("{role:?}").contains("hunter2"));
}
