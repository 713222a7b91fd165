use std::fmt::Display;

use futures_util::Stream;
use grantex_types::api::developers::{
    ApiKey, CreateKeyRequest, CreateKeyResponse, KeyList, RotateKeyResponse,
};

use super::resource;
use crate::page::{ListParams, Page, walk};
use crate::transport::segment;
use crate::{Client, Error};

resource! {
    /// API keys; from [`Client::keys`].
    Keys
}

impl Keys<'_> {
    /// Creates another key. Its secret is shown only once. The call is not retried where the key
    /// may have been created.
    pub async fn create(self, name: impl Into<String>) -> Result<CreateKeyResponse, Error> {
        let request = CreateKeyRequest { name: name.into() };
        self.client.transport.post("/v1/keys").unsafe_to_repeat().body(&request)?.json().await
    }

    /// One page of the keys, without their secrets.
    pub async fn list(self, params: &ListParams) -> Result<Page<ApiKey>, Error> {
        page(self.client, params).await
    }

    /// All keys, page by page as they are taken.
    pub fn all(
        self,
        params: ListParams,
    ) -> impl Stream<Item = Result<ApiKey, Error>> + Send + use<> {
        let client = self.client.clone();
        walk(params.after.clone(), move |after| {
            let (client, params) = (client.clone(), ListParams { after, ..params.clone() });
            async move { page(&client, &params).await }
        })
    }

    /// Revokes a key and ends its streams.
    pub async fn revoke(self, id: impl Display) -> Result<(), Error> {
        self.client.transport.delete(format!("/v1/keys/{}", segment(id))).done().await
    }

    /// Replaces the key that makes this call. The old key stops working at once, so the call is not
    /// retried where it may have taken effect: create a second key before you rotate one.
    pub async fn rotate(self) -> Result<RotateKeyResponse, Error> {
        self.client.transport.post("/v1/keys/rotate").unsafe_to_repeat().json().await
    }
}

async fn page(client: &Client, params: &ListParams) -> Result<Page<ApiKey>, Error> {
    let call = client
        .transport
        .get("/v1/keys")
        .query("limit", params.limit)
        .query("after", params.after.as_ref());
    let list: KeyList = call.json().await?;
    Ok(Page::new(list.keys, list.next_cursor))
}
