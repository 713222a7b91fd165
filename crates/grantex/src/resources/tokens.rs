use std::fmt::Display;

use grantex_types::api::authorization::CODE_PREFIX;
use grantex_types::api::tokens::{
    Claims, ExchangeRequest, RefreshRequest, RevokeTokenRequest, TokenResponse, VerifyRequest,
    VerifyTokenResponse,
};

use super::resource;
use crate::Error;
use crate::verify::OfflineParams;

resource! { creating
    /// Grant tokens; from [`Client::tokens`](crate::Client::tokens).
    ///
    /// ```no_run
    /// # async fn example(client: grantex::Client, token: &str) -> Result<(), grantex::Error> {
    /// use grantex::resources::OfflineParams;
    /// let claims = client.tokens().verify_offline(token, &OfflineParams::default()).await?;
    /// println!("{} may {:?}", claims.sub, claims.scp);
    /// # Ok(())
    /// # }
    /// ```
    Tokens
}

impl Tokens<'_> {
    /// Exchanges the code of an approved request for a grant and its first token. A code that does
    /// not begin with [`CODE_PREFIX`] is an [`Error::Configuration`] before a request is made.
    pub async fn exchange(self, request: &ExchangeRequest) -> Result<TokenResponse, Error> {
        if !request.code.starts_with(CODE_PREFIX) {
            return Err(Error::Configuration(format!(
                "the authorization code does not begin with {CODE_PREFIX}: give the `code` of the redirect, or in \
                 a sandbox that of the request"
            )));
        }
        self.client
            .transport
            .post("/v1/token")
            .idempotent(self.idempotency_key)
            .body(request)?
            .json()
            .await
    }

    /// A new token of the same grant for a refresh token, which can be used once.
    pub async fn refresh(self, request: &RefreshRequest) -> Result<TokenResponse, Error> {
        let call = self.client.transport.post("/v1/token/refresh").idempotent(self.idempotency_key);
        call.body(request)?.json().await
    }

    /// Asks the service whether a token is valid; it sees revocations at once. Give the token
    /// and compare `aud` of the answer yourself, or give a [`VerifyRequest`] with the audience that
    /// you are.
    pub async fn verify(
        self,
        request: impl Into<VerifyRequest>,
    ) -> Result<VerifyTokenResponse, Error> {
        self.client.transport.post("/v1/tokens/verify").body(&request.into())?.json().await
    }

    /// Checks a token without asking the service: signature, type, expiry, developer, audience, and
    /// issuer if one is set. One key set signs the tokens of all developers, so `dev` is always
    /// compared with your own developer id. A token that names an audience (`aud`) is refused
    /// unless `params` name the same one.
    ///
    /// It does not see revocations before the token expires: where they must count at once, use
    /// [`verify`](Self::verify) or follow `grant.revoked`. The service's public keys are fetched
    /// every hour, and when a token names a new one. A server that has no API key uses a
    /// [`Verifier`](crate::Verifier).
    pub async fn verify_offline(
        self,
        token: &str,
        params: &OfflineParams,
    ) -> Result<Claims, Error> {
        self.client.verifier.verify(token, params).await
    }

    /// Revokes a token by its `jti`; the grant stays.
    pub async fn revoke(self, token_id: impl Display) -> Result<(), Error> {
        let request = RevokeTokenRequest { jti: token_id.to_string() };
        self.client.transport.post("/v1/tokens/revoke").body(&request)?.done().await
    }
}
