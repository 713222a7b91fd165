//! The OpenAPI document, generated from the routes.

use std::sync::LazyLock;

use grantex_types::ErrorBody;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Required, ResponseBuilder};

static JSON: LazyLock<String> = LazyLock::new(|| document().to_pretty_json().unwrap_or_default());

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Grantex",
        description = "The authorization service for AI agents. Every change of its state is a \
            durable event.\n\nAuthenticate with `Authorization: Bearer <API key>`. Every response \
            has an `x-request-id`. All errors have the same body, whose `code` has a stable meaning. With an `Idempotency-Key`, a retried POST that creates or spends gets the first response again for 24 hours.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ErrorBody)),
    security(("apiKey" = [])),
    tags(
        (name = "Developers", description = "Developers and their API keys"),
        (name = "Agents", description = "The agents that act for principals"),
        (name = "Authorization", description = "Requests for a principal's consent"),
        (name = "Consent", description = "The principal's decision"),
        (name = "Scopes", description = "Names of scopes that principals read"),
        (name = "Tokens", description = "Grant tokens: exchange, refresh, verify, revoke"),
        (name = "Grants", description = "Grants, and their delegation"),
        (name = "Principals", description = "Calls of principals, and their sessions"),
        (name = "Budgets", description = "Budgets of grants, and debits"),
        (name = "Events", description = "Streams, history and tickets"),
        (name = "Operations", description = "Health and keys"),
    )
)]
struct Base;

/// The OpenAPI 3.1 document of this version.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Base::openapi();
    document.merge(super::api::router().split_for_parts().1);
    let bearer = |description: &str| {
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(description))
                .build(),
        )
    };
    if let Some(components) = &mut document.components {
        components.add_security_scheme("apiKey", bearer("An API key: `gx_live_…` or `gx_test_…`"));
        components.add_security_scheme("principalSession", bearer("A principal's session token"));
        let ticket = ApiKeyValue::with_description("ticket", "A stream ticket");
        components.add_security_scheme("ticket", SecurityScheme::ApiKey(ApiKey::Query(ticket)));
    }
    // Every operation has the same error response.
    let error = ResponseBuilder::new()
        .description("An error, identified by its `code`")
        .content("application/json", Content::new(Some(Ref::from_schema_name("ErrorBody"))))
        .build();
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".into(), RefOr::T(error.clone()));
        }
    }
    // The only optional body.
    let tickets =
        document.paths.paths.get_mut("/v1/events/tickets").and_then(|item| item.post.as_mut());
    if let Some(RefOr::T(body)) = tickets.and_then(|operation| operation.request_body.as_mut()) {
        body.required = Some(Required::False);
    }
    document
}

/// The document as JSON, generated once.
pub(crate) fn json() -> &'static str {
    &JSON
}
