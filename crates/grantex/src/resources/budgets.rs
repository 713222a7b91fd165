use std::fmt::Display;

use futures_util::Stream;
use grantex_types::api::budgets::{
    AllocateRequest, Budget, BudgetList, DebitRequest, DebitResponse, Transaction, TransactionList,
};

use super::resource;
use crate::page::{ListParams, Page, walk};
use crate::transport::segment;
use crate::{Client, Error};

resource! { creating
    /// Budgets and debits; from [`Client::budgets`].
    ///
    /// ```no_run
    /// # async fn example(client: grantex::Client, grant: grantex::GrantId) -> Result<(), Box<dyn std::error::Error>> {
    /// use grantex::api::budgets::{AllocateRequest, DebitRequest};
    /// let request = AllocateRequest { grant_id: grant.to_string(), initial_budget: "100".parse()?, ..Default::default() };
    /// client.budgets().allocate(&request).await?;
    /// let debit = DebitRequest { grant_id: grant.to_string(), amount: "12.50".parse()?, ..Default::default() };
    /// println!("{} left", client.budgets().debit(&debit).await?.remaining);
    /// # Ok(())
    /// # }
    /// ```
    Budgets
}

impl Budgets<'_> {
    /// Allocates a budget to a grant.
    pub async fn allocate(self, request: &AllocateRequest) -> Result<Budget, Error> {
        let call =
            self.client.transport.post("/v1/budget/allocate").idempotent(self.idempotency_key);
        call.body(request)?.json().await
    }

    /// Debits an amount, all or nothing. Retries do not debit again: all tries have the same
    /// idempotency key.
    pub async fn debit(self, request: &DebitRequest) -> Result<DebitResponse, Error> {
        let call = self.client.transport.post("/v1/budget/debit").idempotent(self.idempotency_key);
        call.body(request)?.json().await
    }

    /// A grant's budget.
    pub async fn get(self, grant_id: impl Display) -> Result<Budget, Error> {
        self.client.transport.get(format!("/v1/budget/balance/{}", segment(grant_id))).json().await
    }

    /// One page of the budgets.
    pub async fn list(self, params: &ListParams) -> Result<Page<Budget>, Error> {
        page(self.client, params).await
    }

    /// All budgets, page by page as they are taken.
    pub fn all(
        self,
        params: ListParams,
    ) -> impl Stream<Item = Result<Budget, Error>> + Send + use<> {
        let client = self.client.clone();
        walk(params.after.clone(), move |after| {
            let (client, params) = (client.clone(), ListParams { after, ..params.clone() });
            async move { page(&client, &params).await }
        })
    }

    /// One page of a grant's debits.
    pub async fn transactions(
        self,
        grant_id: impl Display,
        params: &ListParams,
    ) -> Result<Page<Transaction>, Error> {
        debits(self.client, &grant_id.to_string(), params).await
    }

    /// All of a grant's debits, page by page as they are taken.
    pub fn all_transactions(
        self,
        grant_id: impl Display,
        params: ListParams,
    ) -> impl Stream<Item = Result<Transaction, Error>> + Send {
        let (client, grant_id) = (self.client.clone(), grant_id.to_string());
        walk(params.after.clone(), move |after| {
            let (client, grant_id) = (client.clone(), grant_id.clone());
            let params = ListParams { after, ..params.clone() };
            async move { debits(&client, &grant_id, &params).await }
        })
    }
}

async fn page(client: &Client, params: &ListParams) -> Result<Page<Budget>, Error> {
    let call = client.transport.get("/v1/budget/allocations");
    let list: BudgetList =
        call.query("limit", params.limit).query("after", params.after.as_ref()).json().await?;
    Ok(Page::new(list.allocations, list.next_cursor))
}

async fn debits(
    client: &Client,
    grant_id: &str,
    params: &ListParams,
) -> Result<Page<Transaction>, Error> {
    let call = client.transport.get(format!("/v1/budget/transactions/{}", segment(grant_id)));
    let list: TransactionList =
        call.query("limit", params.limit).query("after", params.after.as_ref()).json().await?;
    Ok(Page { total: Some(list.total), ..Page::new(list.transactions, list.next_cursor) })
}
