//! A route and its description, made together: what is in no table is served nowhere, and what is
//! served is described.

use std::{sync::Arc, time::Duration};

use axum::{
    handler::Handler,
    routing::{MethodFilter, MethodRouter, on},
};
use utoipa::openapi::{OpenApi, path::Operation};

use crate::{app::App, edge::EdgeLayer};

/// Makes the [`Route`] of a handler that has a `#[utoipa::path(…)]`: `route!(users::login)`.
macro_rules! route {
    ($($part:ident)::+) => {{
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($part)::+))]
        struct Described;
        $crate::openapi::Route::new(
            <Described as utoipa::OpenApi>::openapi(),
            &[$(stringify!($part)),+],
            $($part)::+,
        )
    }};
}
pub(crate) use route;

/// A handler, where it is served, and what is said about it.
pub(crate) struct Route {
    /// Of the description, with the schemas it needs.
    pub(super) described: OpenApi,
    pub(super) verb: Verb,
    pub(super) path: String,
    pub(super) operation: Operation,
    /// Another path for the same.
    pub(super) alias: Option<&'static str>,
    /// The API whose surface we serve does not have it.
    pub(super) addition: bool,
    quiet: bool,
    /// For a request that may take longer than others to arrive.
    within: Option<Duration>,
    mount: Box<dyn Fn(EdgeLayer) -> MethodRouter<Arc<App>>>,
}

/// The methods there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

impl Route {
    /// Use [`route!`]. A description without a path, which the macro cannot make, is of `GET /`.
    pub(crate) fn new<H, T>(mut described: OpenApi, name: &[&str], handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let (path, item) = described
            .paths
            .paths
            .pop_first()
            .unwrap_or_else(|| ("/".to_owned(), utoipa::openapi::PathItem::default()));
        let operations = [
            (Verb::Get, item.get),
            (Verb::Post, item.post),
            (Verb::Put, item.put),
            (Verb::Patch, item.patch),
            (Verb::Delete, item.delete),
        ];
        let found = operations.into_iter().find_map(|(verb, found)| Some((verb, found?)));
        let (verb, mut operation) = found.unwrap_or_else(|| (Verb::Get, Operation::new()));
        operation.operation_id = Some(name.join("_"));
        let filter = verb.filter();
        Self {
            described,
            verb,
            path,
            operation,
            alias: None,
            addition: false,
            quiet: false,
            within: None,
            mount: Box::new(move |edge| on(filter, handler.clone().layer(edge))),
        }
    }

    /// Serves the same under another path too.
    pub(crate) fn alias(self, path: &'static str) -> Self {
        Self { alias: Some(path), ..self }
    }

    /// Says that this is ours: the API whose surface we serve does not have it.
    pub(crate) fn addition(self) -> Self {
        Self { addition: true, ..self }
    }

    /// Its 503 is an ordinary answer: nothing for the log of failures.
    pub(crate) fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// Gives a request longer than others.
    pub(crate) fn within(self, limit: Duration) -> Self {
        Self { within: Some(limit), ..self }
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        [Some(self.path.as_str()), self.alias].into_iter().flatten()
    }

    /// Adds it to a router, in the one layer.
    pub(crate) fn mount(
        &self,
        router: axum::Router<Arc<App>>,
        app: &Arc<App>,
    ) -> axum::Router<Arc<App>> {
        self.paths().fold(router, |router, path| {
            let edge = EdgeLayer::new(Arc::clone(app), label(self.verb, path));
            let edge = if self.quiet { edge.quiet() } else { edge };
            let edge = match self.within {
                Some(limit) => edge.within(limit),
                None => edge,
            };
            router.route(path, (self.mount)(edge))
        })
    }
}

/// What metrics and logs call a route: `POST_v1_messages`, without the variable parts of its path.
/// Leaked: there are as many as routes, and the router is made once a process.
fn label(verb: Verb, path: &str) -> &'static str {
    let parts = path.split('/').filter(|part| !part.is_empty() && !part.starts_with('{'));
    let label = std::iter::once(verb.as_str()).chain(parts).collect::<Vec<_>>().join("_");
    label.replace('.', "_").leak()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_keep_the_names_of_the_original() {
        for (verb, path, expected) in [
            (Verb::Post, "/v1/messages", "POST_v1_messages"),
            (Verb::Delete, "/v1/messages/{id}", "DELETE_v1_messages"),
            (Verb::Put, "/v1/contacts/{wa_id}/identity", "PUT_v1_contacts_identity"),
            (Verb::Get, "/metrics", "GET_metrics"),
            (Verb::Get, "/v1/openapi.json", "GET_v1_openapi_json"),
        ] {
            assert_eq!(label(verb, path), expected);
        }
    }
}
