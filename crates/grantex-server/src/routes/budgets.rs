//! Budgets.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State;
use grantex_core::usecase::{budgets, idempotency};
use grantex_types::api::budgets::{
    AllocateRequest, Budget, BudgetList, DebitRequest, DebitResponse, TransactionList,
};
use grantex_types::{BudgetId, GrantId, TransactionId};
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::error::ApiResult;
use crate::http::page::{ListQuery, next_cursor};
use crate::http::query::ListParams;
use crate::request::extract::{Auth, Id, IdempotencyKey, Json, Storing};

const DEFAULT_TRANSACTIONS: u32 = 50;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(allocate))
        .routes(routes!(debit))
        .routes(routes!(balance))
        .routes(routes!(transactions))
        .routes(routes!(list))
}

/// Allocate a budget
///
/// Gives a grant its budget; a grant can have one. A grant delegated from one whose budget the
/// principal consented to gets none of its own (403 `FORBIDDEN`): debit what it spends from that
/// budget.
#[utoipa::path(post, path = "/v1/budget/allocate", tag = "Budgets", request_body = AllocateRequest,
    responses((status = 201, description = "The budget", body = Budget)))]
async fn allocate(
    Storing(caller): Storing,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    Json { value: request, hash }: Json<AllocateRequest>,
) -> ApiResult<(StatusCode, Body<Budget>)> {
    let key = key.on("POST /v1/budget/allocate", hash);
    let needs = budgets::needs(&request.grant_id).and(idempotency::need(key.as_ref()));
    let budget = app
        .write(caller.developer_id, needs, "allocate_budget", move |tx| {
            idempotency::once(tx, caller.developer_id, key.as_ref(), |tx| {
                budgets::allocate(tx, &caller, &request)
            })
        })
        .await?;
    Ok((StatusCode::CREATED, Body(budget)))
}

/// Debit a budget
///
/// Debits the whole amount or nothing. An event is written when 50 %, 80 % or all of the budget is
/// used. Send an `Idempotency-Key`, so that a retry does not debit the amount twice.
#[utoipa::path(post, path = "/v1/budget/debit", tag = "Budgets", request_body = DebitRequest,
    responses((status = 200, description = "The remaining budget", body = DebitResponse)))]
async fn debit(
    Storing(caller): Storing,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    Json { value: request, hash }: Json<DebitRequest>,
) -> ApiResult<Body<DebitResponse>> {
    let key = key.on("POST /v1/budget/debit", hash);
    let needs = budgets::needs(&request.grant_id).and(idempotency::need(key.as_ref()));
    let debited = app.write(caller.developer_id, needs, "debit_budget", move |tx| {
        idempotency::once(tx, caller.developer_id, key.as_ref(), |tx| {
            budgets::debit(tx, &caller, &request)
        })
    });
    Ok(Body(debited.await?))
}

/// Get a budget
#[utoipa::path(get, path = "/v1/budget/balance/{grantId}", tag = "Budgets",
    params(("grantId" = GrantId, Path, description = "The grant")),
    responses((status = 200, description = "The budget", body = Budget)))]
async fn balance(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Id(grant): Id<GrantId>,
) -> ApiResult<Body<Budget>> {
    Ok(Body(
        app.read(caller.developer_id, move |store| budgets::balance(store, &caller, grant)).await?,
    ))
}

/// List a grant's debits
#[utoipa::path(get, path = "/v1/budget/transactions/{grantId}", tag = "Budgets",
    params(("grantId" = GrantId, Path, description = "The \
        grant"), ListQuery, ("after" = Option<TransactionId>, Query, description = "Only items \
        after this one: the `nextCursor` of the previous page")),
    responses((status = 200, description = "The debits", body = TransactionList)))]
async fn transactions(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Id(grant): Id<GrantId>,
    ListParams(list): ListParams<ListQuery>,
) -> ApiResult<Body<TransactionList>> {
    let page = list.page_of(DEFAULT_TRANSACTIONS)?;
    let (mut transactions, total) = app
        .read_long(caller.developer_id, move |store| {
            budgets::transactions(store, &caller, grant, page)
        })
        .await?;
    let next_cursor = next_cursor(&mut transactions, page.limit, |transaction| transaction.id);
    Ok(Body(TransactionList { transactions, total, next_cursor }))
}

/// List budgets
#[utoipa::path(get, path = "/v1/budget/allocations", tag = "Budgets", params(ListQuery, ("after" = Option<BudgetId>, Query, description = "Only items after this one: the `nextCursor` of the previous page")),
    responses((status = 200, description = "The budgets", body = BudgetList)))]
async fn list(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    ListParams(list): ListParams<ListQuery>,
) -> ApiResult<Body<BudgetList>> {
    let page = list.page()?;
    let mut allocations = app
        .read_long(caller.developer_id, move |store| budgets::list(store, &caller, page))
        .await?;
    let next_cursor = next_cursor(&mut allocations, page.limit, |budget| budget.id);
    Ok(Body(BudgetList { allocations, next_cursor }))
}
