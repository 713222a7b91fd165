use futures_util::Stream;
use grantex_types::api::audit::{AuditEntry, AuditEntryList};

use super::resource;
use crate::page::{ListParams, Page, walk};
use crate::{Client, Error};

resource! {
    /// The audit trail: who changed what outside the event log, such as API keys, principals'
    /// sessions and names of scopes; from [`Client::audit`].
    ///
    /// ```no_run
    /// # async fn example(client: grantex::Client) -> Result<(), grantex::Error> {
    /// use futures_util::TryStreamExt as _;
    /// use grantex::ListParams;
    /// let mut entries = std::pin::pin!(client.audit().all(ListParams::default()));
    /// while let Some(entry) = entries.try_next().await? {
    ///     println!("{} {} {}", entry.created_at, entry.action, entry.target);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    Audit
}

impl Audit<'_> {
    /// One page of the entries, newest first.
    pub async fn list(self, params: &ListParams) -> Result<Page<AuditEntry>, Error> {
        page(self.client, params).await
    }

    /// All entries, newest first, page by page as they are taken.
    pub fn all(
        self,
        params: ListParams,
    ) -> impl Stream<Item = Result<AuditEntry, Error>> + Send + use<> {
        let client = self.client.clone();
        walk(params.after.clone(), move |after| {
            let (client, params) = (client.clone(), ListParams { after, ..params.clone() });
            async move { page(&client, &params).await }
        })
    }
}

async fn page(client: &Client, params: &ListParams) -> Result<Page<AuditEntry>, Error> {
    let call = client.transport.get("/v1/audit/entries");
    let list: AuditEntryList =
        call.query("limit", params.limit).query("after", params.after.as_ref()).json().await?;
    Ok(Page::new(list.entries, list.next_cursor))
}
