//! The resources of the API, one module each.

mod agents;
mod audit;
mod authorizations;
mod budgets;
mod grants;
mod keys;
mod principals;
mod scope_names;
mod tokens;

pub use agents::Agents;
pub use audit::Audit;
pub use authorizations::Authorizations;
pub use budgets::Budgets;
pub use grants::{GrantListParams, Grants};
pub use keys::Keys;
pub use principals::{PrincipalSessionListParams, PrincipalSessions};
pub use scope_names::ScopeNames;
pub use tokens::Tokens;

pub use crate::verify::OfflineParams;

/// A resource: a borrowed client; with `creating`, where its calls create or spend, also their
/// idempotency key.
macro_rules! resource {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name<'a> {
            client: &'a crate::Client,
        }

        impl<'a> $name<'a> {
            pub(crate) fn of(client: &'a crate::Client) -> Self {
                Self { client }
            }
        }
    };
    (creating $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name<'a> {
            client: &'a crate::Client,
            idempotency_key: Option<String>,
        }

        impl<'a> $name<'a> {
            pub(crate) fn of(client: &'a crate::Client) -> Self {
                Self { client, idempotency_key: None }
            }

            /// Uses this key for a call that creates or spends, instead of a random one: the same
            /// key with the same request gives the first answer again, for 24 hours.
            #[must_use]
            pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
                self.idempotency_key = Some(key.into());
                self
            }
        }
    };
}
pub(crate) use resource;
