use std::fmt::Display;

use grantex_types::api::scopes::{NameScopesRequest, ScopeName, ScopeNameList};
use reqwest::Method;

use super::resource;
use crate::Error;

resource! {
    /// Names of scopes, as principals read them; from
    /// [`Client::scope_names`](crate::Client::scope_names).
    ScopeNames
}

impl ScopeNames<'_> {
    /// Names scopes; scopes that the request does not list keep their names.
    pub async fn set(self, request: &NameScopesRequest) -> Result<Vec<ScopeName>, Error> {
        let call = self.client.transport.call(Method::PUT, "/v1/scopes").body(request)?;
        Ok(call.json::<ScopeNameList>().await?.scopes)
    }

    /// All scopes that have a name, 500 at most.
    pub async fn list(self) -> Result<Vec<ScopeName>, Error> {
        Ok(self.client.transport.get("/v1/scopes").json::<ScopeNameList>().await?.scopes)
    }

    /// Removes a scope's name. Grants do not change.
    pub async fn remove(self, scope: impl Display) -> Result<(), Error> {
        self.client.transport.delete("/v1/scopes").query("scope", Some(scope)).done().await
    }
}
