//! Request and response bodies, one module per resource. Unknown request fields are ignored.

pub mod agents;
pub mod audit;
pub mod authorization;
pub mod budgets;
pub mod developers;
pub mod events;
pub mod grants;
pub mod scopes;
pub mod tokens;

/// Gives each struct what every body has: JSON both ways in camelCase, and an OpenAPI schema
/// behind the `openapi` feature.
macro_rules! bodies {
    ($($(#[$meta:meta])* pub struct $name:ident { $($fields:tt)* })*) => { $(
        #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        $(#[$meta])*
        pub struct $name { $($fields)* }
    )* };
}
use bodies;
