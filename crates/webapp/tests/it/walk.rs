//! Every route as nobody, as a user, as an admin and with the API key: who is let in, and how who is not
//! is turned away. What a route does for those it lets in is tested elsewhere.

use http::Method;

use crate::{
    client::{Edge, bearer, config, token},
    core::{Core, TOKEN_KEY},
};

const API_KEY: &str = "monitoring-key-of-12-to-128";

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq)]
enum For {
    Everybody,
    /// Who logs in shows name and password.
    Login,
    Users,
    /// And the API key.
    Monitors,
    Admins,
    /// A user its own entry, an admin every one.
    Oneself,
}

/// Method, path, who may.
const ROUTES: &[(&str, &str, For)] = &[
    ("POST", "/v1/users/login", For::Login),
    ("POST", "/v1/users", For::Admins),
    ("GET", "/v1/users/admin", For::Oneself),
    ("PUT", "/v1/users/admin", For::Oneself),
    ("DELETE", "/v1/users/admin", For::Admins),
    ("POST", "/v1/account", For::Admins),
    ("POST", "/v1/account/verify", For::Admins),
    ("GET", "/v1/account/shards", For::Admins),
    ("POST", "/v1/account/shards", For::Admins),
    ("POST", "/v1/settings/account/two-step", For::Admins),
    ("DELETE", "/v1/settings/account/two-step", For::Admins),
    ("POST", "/v1/contacts", For::Users),
    ("GET", "/v1/contacts/16315551004/identity", For::Users),
    ("PUT", "/v1/contacts/16315551004/identity", For::Users),
    ("POST", "/v1/contacts/16315551004/block", For::Users),
    ("POST", "/v1/contacts/16315551004/unblock", For::Users),
    ("POST", "/v1/contacts/16315551004/report", For::Users),
    ("POST", "/v1/messages", For::Users),
    ("POST", "/v1/messages/batch", For::Users),
    ("DELETE", "/v1/messages/unknown", For::Users),
    ("GET", "/v1/settings/application", For::Admins),
    ("PATCH", "/v1/settings/application", For::Admins),
    ("DELETE", "/v1/settings/application", For::Admins),
    ("GET", "/v1/settings/business/profile", For::Admins),
    ("POST", "/v1/settings/business/profile", For::Admins),
    ("GET", "/v1/settings/profile/about", For::Admins),
    ("PATCH", "/v1/settings/profile/about", For::Admins),
    ("GET", "/v1/settings/profile/photo", For::Admins),
    ("POST", "/v1/settings/profile/photo", For::Admins),
    ("DELETE", "/v1/settings/profile/photo", For::Admins),
    ("POST", "/v1/settings/backup", For::Admins),
    ("POST", "/v1/settings/restore", For::Admins),
    ("GET", "/v1/certificates/webhooks/ca", For::Admins),
    ("POST", "/v1/certificates/webhooks/ca", For::Admins),
    ("DELETE", "/v1/certificates/webhooks/ca", For::Admins),
    ("GET", "/v1/events", For::Admins),
    ("GET", "/v1/events/dead", For::Admins),
    ("POST", "/v1/events/replay", For::Admins),
    ("GET", "/v1/events/replay/1", For::Admins),
    ("DELETE", "/v1/events/replay/1", For::Admins),
    ("GET", "/v1/groups", For::Users),
    ("POST", "/v1/groups/1/leave", For::Users),
    ("GET", "/v1/health", For::Monitors),
    ("GET", "/v1/stats/app", For::Monitors),
    ("GET", "/metrics", For::Monitors),
    ("GET", "/v1/metrics", For::Monitors),
    ("GET", "/livez", For::Everybody),
    ("GET", "/readyz", For::Everybody),
    // Last: the token is void afterwards.
    ("POST", "/v1/users/logout", For::Users),
];

#[tokio::test]
async fn every_route_lets_in_whom_it_is_for_and_turns_all_others_away() {
    let core = Core::start();
    let with_key = telemetry::config::Secret::new(API_KEY);
    let edge = Edge::start_with(webapp::Config { api_key: Some(with_key), ..config(&core) });
    let edge = edge.await.ready().await;
    let callers = [
        ("nobody", String::new()),
        ("API key", format!("Apikey {API_KEY}")),
        ("user", bearer("clerk_7")),
        // A token of its own: the user logs out before.
        ("admin", token(TOKEN_KEY, "admin", &"cd".repeat(16), 0)),
    ];
    for (caller, authorization) in &callers {
        for (method, path, whom) in ROUTES {
            let method: Method = method.parse().unwrap();
            // No body: who is let in is told so, or what is missing.
            let answer = edge.call(method.clone(), path, authorization, "").await;
            let refusal = match (whom, *caller) {
                (For::Everybody, _)
                | (For::Monitors, "API key" | "user" | "admin")
                | (For::Users, "user" | "admin")
                | (For::Admins | For::Oneself, "admin") => None,
                (For::Admins | For::Oneself, "user") => Some((403, 1005)),
                _ => Some((401, 1005)),
            };
            match refusal {
                Some(refusal) => {
                    assert_eq!(answer.refusal(), refusal, "{method} {path} as {caller}");
                }
                // The test's coreapp has not every service: then it says so, with another status.
                None => assert!(
                    !matches!(answer.status.as_u16(), 401 | 403 | 404 | 405)
                        || answer.refusal().1 == 1006,
                    "{method} {path} as {caller}: {:?}",
                    answer.body
                ),
            }
        }
    }
}

#[tokio::test]
async fn a_path_or_method_there_is_not_is_told_to_everybody_alike() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    for authorization in [String::new(), bearer("clerk_7"), bearer("admin")] {
        for path in ["/", "/v1", "/v2/messages", "/v1/nothing"] {
            assert_eq!(edge.get(path, &authorization).await.refusal(), (404, 1006), "{path}");
        }
        let mut walked: Vec<_> = ROUTES.iter().map(|(_, path, _)| *path).collect();
        walked.retain(|path| !path.starts_with("/v1/groups"));
        for path in walked {
            let answer = edge.call(Method::TRACE, path, &authorization, "").await;
            assert_eq!(answer.refusal(), (405, 1025), "{path}");
        }
    }
}
