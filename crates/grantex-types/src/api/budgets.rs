//! Budgets and debits.

use serde_json::value::RawValue;

use super::bodies;
use crate::{Amount, BudgetId, DeveloperId, GrantId, Timestamp, TransactionId};

/// An amount in a request: a JSON number or a decimal string, above zero.
#[cfg(feature = "openapi")]
pub struct AmountInput;

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};

    impl utoipa::PartialSchema for super::AmountInput {
        fn schema() -> RefOr<Schema> {
            // Whole numbers only on the number side, though decimals are read too: JSON Schema has
            // no exact way to say "at most four decimals" of a double.
            let number = ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(1))
                .maximum(Some(99_999_999_999_i64));
            let text = ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some(r"^([1-9][0-9]{0,10}(\.[0-9]{1,4})?|0\.([1-9][0-9]{0,3}|0[1-9][0-9]{0,2}|00[1-9][0-9]?|000[1-9]))$"));
            OneOfBuilder::new()
                .item(number)
                .item(text)
                .examples([serde_json::json!("12.50")])
                .into()
        }
    }
    impl utoipa::ToSchema for super::AmountInput {}
}

bodies! {
    /// `POST /v1/budget/allocate`
    #[derive(Default)]
    pub struct AllocateRequest {
        /// The grant that may spend.
        #[cfg_attr(feature = "openapi", schema(value_type = GrantId))]
        pub grant_id: String,
        /// The amount, above zero, with at most four decimals.
        #[cfg_attr(feature = "openapi", schema(value_type = AmountInput))]
        pub initial_budget: Amount,
        /// Three upper-case letters; default `USD`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Z]{3}$", example = "USD"))]
        pub currency: Option<String>,
    }

    /// A budget allocation.
    pub struct Budget {
        /// The allocation's id.
        pub id: BudgetId,
        /// The grant that may spend.
        pub grant_id: GrantId,
        /// The developer it belongs to.
        pub developer_id: DeveloperId,
        /// What it started with.
        pub initial_budget: Amount,
        /// What is left.
        pub remaining_budget: Amount,
        /// Three upper-case letters.
        pub currency: String,
        /// When it was allocated.
        pub created_at: Timestamp,
        /// When it was last debited.
        pub updated_at: Timestamp,
    }

    /// `GET /v1/budget/allocations`
    pub struct BudgetList {
        /// Newest first.
        pub allocations: Vec<Budget>,
        /// Where the next page starts (`after`); `null` on the last page.
        pub next_cursor: Option<BudgetId>,
    }

    /// `POST /v1/budget/debit`
    #[derive(Default)]
    pub struct DebitRequest {
        /// The grant that spends.
        #[cfg_attr(feature = "openapi", schema(value_type = GrantId))]
        pub grant_id: String,
        /// The amount, above zero, with at most four decimals.
        #[cfg_attr(feature = "openapi", schema(value_type = AmountInput))]
        pub amount: Amount,
        /// What for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(max_length = 1024, pattern = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"))]
        pub description: Option<String>,
        /// Metadata to store with the debit: an object of at most 8 KiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
        pub metadata: Option<Box<RawValue>>,
    }

    /// The answer to a debit.
    pub struct DebitResponse {
        /// What is left.
        pub remaining: Amount,
        /// The debit's id.
        pub transaction_id: TransactionId,
        /// The grant that spent.
        pub grant_id: GrantId,
    }

    /// One debit.
    pub struct Transaction {
        /// The debit's id.
        pub id: TransactionId,
        /// The grant that spent.
        pub grant_id: GrantId,
        /// The budget it was taken from.
        pub allocation_id: BudgetId,
        /// How much.
        pub amount: Amount,
        /// The debit's description, if it has one.
        pub description: Option<String>,
        /// The metadata that the developer stored with it.
        #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
        pub metadata: Option<Box<RawValue>>,
        /// When.
        pub created_at: Timestamp,
    }

    /// `GET /v1/budget/transactions/{grantId}`
    pub struct TransactionList {
        /// Newest first.
        pub transactions: Vec<Transaction>,
        /// The total number.
        pub total: u64,
        /// Where the next page starts (`after`); `null` on the last page.
        pub next_cursor: Option<TransactionId>,
    }
}
