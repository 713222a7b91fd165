//! Budgets: exact amounts, never overspent, one event for each threshold.

use grantex_types::api::budgets::{AllocateRequest, DebitRequest, DebitResponse};
use grantex_types::{Amount, BudgetId, ErrorCode, EventData, GrantId, TransactionId};

use crate::model::{Budget, Caller, Grant, Transaction};
use crate::store::{Need, Needs, Page, Read, Tx};
use crate::{Error, Result, validate};

/// The percentages of use that are events when they are crossed.
pub const THRESHOLDS: [u8; 2] = [50, 80];

const LARGEST_METADATA: usize = 8 * 1024;

/// What [`allocate`] and [`debit`] read by key.
pub fn needs(grant_id: &str) -> Needs {
    let grant = grant_id.parse().ok();
    Needs::NONE.and(grant.map(Need::Grant)).and(grant.map(Need::Budget))
}

/// Gives a grant a budget, once.
///
/// The principal who consented to a budget consented to all that is spent: what was passed on from
/// that grant has no budget of its own.
pub fn allocate(tx: &mut dyn Tx, caller: &Caller, request: &AllocateRequest) -> Result<Budget> {
    let initial = initial("initialBudget", request.initial_budget)?;
    let currency = currency(request.currency.as_deref())?;
    let grant = active_grant(tx, caller, &request.grant_id)?;
    if tx.budget(caller.developer_id, grant.id)?.is_some() {
        return Err(Error::refused(ErrorCode::Conflict, "this grant already has a budget"));
    }
    if let Some(root) = root_of(tx, &grant)?
        && let Some(request) = tx.request_of_grant(caller.developer_id, root)?
        && request.budget.is_some()
    {
        return Err(Error::refused(
            ErrorCode::Forbidden,
            format!(
                "the principal consented to a budget for {root}, from which this grant was passed on: debit what \
                 it spends there"
            ),
        ));
    }
    insert(tx, &grant, initial, currency)
}

/// An amount that a grant can have, above zero.
pub(super) fn initial(field: &str, amount: Amount) -> Result<Amount> {
    if amount.is_zero() {
        return Err(Error::bad_request(format!("{field} must be above zero")));
    }
    Ok(amount)
}

/// The currency that was given, or `USD`.
pub(super) fn currency(given: Option<&str>) -> Result<&str> {
    let currency = given.unwrap_or("USD");
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(Error::bad_request("currency must be three upper-case letters such as USD"));
    }
    Ok(currency)
}

/// Gives a grant that has none its budget.
pub(super) fn insert(
    tx: &mut dyn Tx,
    grant: &Grant,
    initial: Amount,
    currency: &str,
) -> Result<Budget> {
    let now = tx.now();
    let budget = Budget {
        id: BudgetId::from_parts(now.millis(), tx.random()),
        grant_id: grant.id,
        developer_id: grant.developer_id,
        initial_budget: initial,
        remaining_budget: initial,
        currency: currency.to_owned(),
        created_at: now,
        updated_at: now,
    };
    tx.insert_budget(&budget)?;
    Ok(budget)
}

/// Takes an amount, all of it or nothing.
pub fn debit(tx: &mut dyn Tx, caller: &Caller, request: &DebitRequest) -> Result<DebitResponse> {
    if request.amount.is_zero() {
        return Err(Error::bad_request("amount must be above zero"));
    }
    let description = request
        .description
        .as_deref()
        .map(|text| validate::lines("description", text, 1024))
        .transpose()?;
    if let Some(metadata) = &request.metadata {
        let json = metadata.get();
        if !json.starts_with('{') || json.len() > LARGEST_METADATA {
            return Err(Error::bad_request("metadata must be a JSON object of at most 8 KiB"));
        }
        if json.contains("\\u0000") {
            return Err(Error::bad_request("metadata must not contain NUL"));
        }
    }
    let grant = active_grant(tx, caller, &request.grant_id)?;
    let budget = tx
        .budget(caller.developer_id, grant.id)?
        .ok_or_else(|| Error::not_found("budget of this grant"))?;
    let Some(remaining) = budget.remaining_budget.checked_sub(request.amount) else {
        return Err(Error::refused(
            ErrorCode::InsufficientBudget,
            format!(
                "the budget has {} left, less than {}; nothing was debited",
                budget.remaining_budget, request.amount
            ),
        ));
    };

    let now = tx.now();
    let transaction = Transaction {
        id: TransactionId::from_parts(now.millis(), tx.random()),
        grant_id: grant.id,
        allocation_id: budget.id,
        amount: request.amount,
        description,
        metadata: request.metadata.clone(),
        created_at: now,
    };
    tx.set_remaining(&budget, remaining, now)?;
    tx.insert_transaction(caller.developer_id, &transaction)?;
    for data in crossings(grant.id, budget.initial_budget, budget.remaining_budget, remaining) {
        tx.append(caller.developer_id, &grant.subject(), data)?;
    }
    Ok(DebitResponse { remaining, transaction_id: transaction.id, grant_id: grant.id })
}

/// The events of a budget's way from `before` to `after`: each threshold it crosses, lowest
/// first, then exhaustion. What is left only falls, so each comes once.
pub fn crossings(
    grant_id: GrantId,
    initial: Amount,
    before: Amount,
    after: Amount,
) -> Vec<EventData> {
    let used_at_least = |left: Amount, percentage: u8| {
        let used = u128::from(initial.units().saturating_sub(left.units()));
        used.saturating_mul(100)
            >= u128::from(initial.units()).saturating_mul(u128::from(percentage))
    };
    let mut events: Vec<EventData> = THRESHOLDS
        .into_iter()
        .filter(|percentage| {
            !used_at_least(before, *percentage) && used_at_least(after, *percentage)
        })
        .map(|percentage| EventData::BudgetThreshold {
            grant_id,
            percentage,
            remaining: after.as_number(),
            initial: initial.as_number(),
        })
        .collect();
    if after.is_zero() && !before.is_zero() {
        events.push(EventData::BudgetExhausted { grant_id, initial: initial.as_number() });
    }
    events
}

/// The budget of a grant.
pub fn balance(store: &dyn Read, caller: &Caller, grant: GrantId) -> Result<Budget> {
    store
        .budget(caller.developer_id, grant)?
        .ok_or_else(|| Error::not_found("budget of this grant"))
}

/// The developer's budgets.
pub fn list(store: &dyn Read, caller: &Caller, page: Page<BudgetId>) -> Result<Vec<Budget>> {
    Ok(store.budgets(caller.developer_id, page)?)
}

/// A grant's debits, and how many there are in all.
pub fn transactions(
    store: &dyn Read,
    caller: &Caller,
    grant: GrantId,
    page: Page<TransactionId>,
) -> Result<(Vec<Transaction>, u64)> {
    if store.budget(caller.developer_id, grant)?.is_none() {
        return Err(Error::not_found("budget of this grant"));
    }
    let total = store.transaction_count(caller.developer_id, grant)?;
    Ok((store.transactions(caller.developer_id, grant, page)?, total))
}

/// The grant that a principal gave and from which this one was passed on; `None` for that one.
fn root_of(store: &dyn Read, grant: &Grant) -> Result<Option<GrantId>> {
    let (mut root, mut parent) = (None, grant.parent_id);
    while let Some(id) = parent {
        root = Some(id);
        parent = store.grant(grant.developer_id, id)?.and_then(|grant| grant.parent_id);
    }
    Ok(root)
}

fn active_grant(store: &dyn Read, caller: &Caller, id: &str) -> Result<Grant> {
    let id = id.parse().map_err(|_| Error::not_found("grant"))?;
    let grant = store.grant(caller.developer_id, id)?.ok_or_else(|| Error::not_found("grant"))?;
    if !grant.is_active(store.now()) {
        return Err(Error::refused(ErrorCode::GrantInactive, "the grant is revoked or expired"));
    }
    Ok(grant)
}

#[cfg(test)]
mod tests {
    use grantex_types::EventType;
    use proptest::prelude::*;

    use super::*;

    fn amount(units: u64) -> Amount {
        Amount::from_units(units).unwrap()
    }

    fn told(initial: u64, before: u64, after: u64) -> Vec<String> {
        crossings(GrantId::from_parts(0, 0), amount(initial), amount(before), amount(after))
            .iter()
            .map(|data| match data {
                EventData::BudgetThreshold { percentage, .. } => percentage.to_string(),
                other => other.event_type().to_string(),
            })
            .collect()
    }

    #[test]
    fn one_debit_tells_all_it_crosses() {
        assert_eq!(told(1000, 1000, 501), Vec::<String>::new());
        assert_eq!(told(1000, 1000, 500), ["50"]);
        assert_eq!(told(1000, 500, 200), ["80"]);
        assert_eq!(told(1000, 1000, 100), ["50", "80"]);
        assert_eq!(told(1000, 1000, 0), ["50", "80", "budget.exhausted"]);
        assert_eq!(told(1, 1, 0), ["50", "80", "budget.exhausted"]);
    }

    proptest! {
        #[test]
        fn any_way_down_tells_each_once(initial in 1u64..=Amount::MAX.units(), steps
            in prop::collection::vec(1u64..400, 0..20)) {
            let mut left = initial;
            let mut all = Vec::new();
            for step in steps.into_iter()
                .map(|permille| initial / 1000 * permille).chain([u64::MAX]) {
                let after = left.saturating_sub(step);
                all.extend(crossings(GrantId::from_parts(0, 0), amount(initial), amount(left),
                    amount(after)));
                left = after;
            }
            let kinds: Vec<EventType> = all.iter().map(EventData::event_type).collect();
            prop_assert_eq!(kinds, [EventType::BudgetThreshold, EventType::BudgetThreshold,
                EventType::BudgetExhausted]);
        }
    }
}
