//! What is true of many routes, said once: who may call, and what may be refused anywhere.

use contract::answer::Errors;
use utoipa::{
    ToSchema as _,
    openapi::{
        Components, ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response,
        ResponseBuilder, Type,
        path::Operation,
        security::{
            ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
        },
    },
};

/// A refusal: its name among the components, its HTTP status, what it means, whether it says when
/// to try again.
struct Common(&'static str, &'static str, &'static str, bool);

const UNAUTHORIZED: Common = Common(
    "Unauthorized",
    "401",
    "1005: no credentials, or they are wrong, expired or revoked. Log in (again).",
    false,
);
const FORBIDDEN: Common = Common(
    "Forbidden",
    "403",
    "1005: the role does not suffice. 1024: the initial password is still set.",
    false,
);
const NOT_FOUND: Common = Common("NotFound", "404", "1006: there is no such thing.", false);
const WRONG_METHOD: Common =
    Common("MethodNotAllowed", "405", "1025: the path does not take this method.", false);
const TOO_SLOW: Common =
    Common("RequestTimeout", "408", "1025: the body did not arrive within 10 s.", false);
const TOO_LARGE: Common = Common("BodyTooLarge", "413", "1025: the body is too large.", false);
const TOO_MANY: Common = Common(
    "TooManyRequests",
    "429",
    "1015: too many requests; repeat after `Retry-After` seconds.",
    true,
);
const INTERNAL: Common =
    Common("InternalError", "500", "1014: something is broken; `details` says what.", false);
const UNAVAILABLE: Common = Common(
    "Unavailable",
    "503",
    "Repeat after `Retry-After` seconds. 1011: not ready, or nothing is known of the outcome. 1016: \
     too much waits to be sent. 1017, 1018: another coreapp is responsible by now. 1023: the \
     database does not answer.",
    true,
);
const ALL: [Common; 9] = [
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    WRONG_METHOD,
    TOO_SLOW,
    TOO_LARGE,
    TOO_MANY,
    INTERNAL,
    UNAVAILABLE,
];

/// The name of the scheme that almost every route takes.
const BEARER: &str = "Bearer";

/// Needed where an operation says nothing of its own.
pub(super) fn usual() -> Vec<SecurityRequirement> {
    vec![SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]
}

pub(super) fn add_to(components: &mut Components) {
    for Common(name, _, text, repeat) in ALL {
        components.responses.insert(name.to_owned(), RefOr::T(refusal(text, repeat)));
    }
    let mut basic = Http::new(HttpAuthScheme::Basic);
    basic.description = Some("User name and password; for the login only.".to_owned());
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some(
        "The token of a login. Where a route lists the role `ROLE_ADMIN`, that of `admin`."
            .to_owned(),
    );
    let key = ApiKeyValue::with_description(
        "Authorization",
        "`Apikey ` and the key that the operator has set (`WA_API_KEY`); for monitoring only.",
    );
    for (name, scheme) in [
        ("Basic", SecurityScheme::Http(basic)),
        (BEARER, SecurityScheme::Http(bearer)),
        ("Apikey", SecurityScheme::ApiKey(ApiKey::Header(key))),
    ] {
        components.add_security_scheme(name, scheme);
    }
}

fn refusal(description: &str, repeat: bool) -> Response {
    let schema = Ref::from_schema_name(Errors::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response =
        ResponseBuilder::new().description(description).content("application/json", content);
    if !repeat {
        return response.build();
    }
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    let header = HeaderBuilder::new()
        .schema(seconds)
        .description(Some("Whole seconds after which a repeat may succeed."));
    response.header("Retry-After", header.build()).build()
}

/// Adds the refusals that this operation may meet, beside those it describes itself.
pub(super) fn refusals(operation: &mut Operation, path: &str) {
    let secured = operation.security.as_ref().is_none_or(|schemes| {
        schemes.iter().all(|scheme| *scheme != SecurityRequirement::default())
    });
    let body = operation.request_body.is_some();
    let met = [
        (UNAUTHORIZED, secured),
        (FORBIDDEN, secured),
        (NOT_FOUND, path.contains('{')),
        (TOO_SLOW, body),
        (TOO_LARGE, body),
        (TOO_MANY, true),
        (INTERNAL, true),
        (UNAVAILABLE, true),
    ];
    for (Common(name, status, ..), _) in met.into_iter().filter(|(_, met)| *met) {
        let there = operation.responses.responses.entry(status.to_owned());
        there.or_insert_with(|| RefOr::Ref(Ref::from_response_name(name)));
    }
}
