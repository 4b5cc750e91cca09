//! The description of the API, made from the handlers' own: `/v1/openapi.json`, and `/docs` for
//! people. How a route gets there is in [`crate::routes`].

mod common;
mod errors;
mod page;
mod route;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use bytes::Bytes;
use contract::answer::{API_VERSION, Errors};
use serde_json::json;
use utoipa::{
    ToSchema as _,
    openapi::{
        Components, Info, OpenApi, Paths, Server, Tag,
        extensions::ExtensionsBuilder,
        path::{HttpMethod, PathItem},
    },
};

pub(crate) use errors::{error_index, error_page};
pub(crate) use page::page;
pub(crate) use route::{Route, route};

const ABOUT: &str = include_str!("about.md");

/// The resources, in the order in which they are shown.
const TAGS: [(&str, &str); 14] = [
    ("Users", "Logging in and out; who may call."),
    ("Messages", "Sending, one by one or many at once, and taking back."),
    ("Contacts", "Who can be reached, identity changes, blocks, reports."),
    ("Media", "Files, to be sent or as they came."),
    ("Stickers", "Own packs of stickers."),
    ("Events", "The log of callbacks, read on from a cursor, and sent again."),
    ("Settings", "How the gateway behaves; in force at once."),
    ("Account", "Registration of the own number, and moving it."),
    ("Profile", "How customers see the business."),
    ("Certificates", "Private authorities."),
    ("Services", "What is done once, when it is asked for."),
    ("Monitoring", "Health and figures."),
    ("Probes", "For orchestrators."),
    ("Documentation", "This description."),
];

/// Serialised once: it is the same for everybody.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    // Text keys and plain values always serialise.
    serde_json::to_vec(&described(&crate::routes::table())).unwrap_or_default().into()
});

/// The OpenAPI document, as JSON.
pub(crate) fn document() -> Bytes {
    DOCUMENT.clone()
}

/// Everything in the table, described.
fn described(routes: &[Route]) -> OpenApi {
    let mut components = Components::new();
    let mut schemas =
        vec![(Errors::name().into_owned(), <Errors<'_> as utoipa::PartialSchema>::schema())];
    Errors::schemas(&mut schemas);
    components.schemas.extend(schemas);
    common::add_to(&mut components);
    let mut paths = Paths::new();
    for route in routes {
        if let Some(its) = &route.described.components {
            components.schemas.extend(its.schemas.clone());
        }
        for (n, path) in route.paths().enumerate() {
            let mut operation = route.operation.clone();
            if n > 0 {
                operation.operation_id = operation.operation_id.map(|id| format!("{id}_alias"));
            }
            if route.addition {
                let marked = ExtensionsBuilder::new().add("x-addition", json!(true));
                operation.extensions.get_or_insert_default().merge(marked.build());
            }
            common::refusals(&mut operation, path);
            let method = match route.verb {
                route::Verb::Get => HttpMethod::Get,
                route::Verb::Post => HttpMethod::Post,
                route::Verb::Put => HttpMethod::Put,
                route::Verb::Patch => HttpMethod::Patch,
                route::Verb::Delete => HttpMethod::Delete,
            };
            let item = PathItem::new(method, operation);
            match paths.paths.get_mut(path) {
                Some(known) => known.merge_operations(item),
                None => {
                    paths.paths.insert(path.to_owned(), item);
                }
            }
        }
    }
    let mut info = Info::new("Heliograph", API_VERSION);
    info.description = Some(ABOUT.to_owned());
    let mut out = OpenApi::new(info, paths);
    out.components = Some(components);
    out.security = Some(common::usual());
    out.servers = Some(vec![Server::new("/")]);
    out.tags = Some(TAGS.map(|(name, text)| tag(name, text)).into());
    out
}

fn tag(name: &str, description: &str) -> Tag {
    let mut tag = Tag::new(name);
    tag.description = Some(description.to_owned());
    tag
}
