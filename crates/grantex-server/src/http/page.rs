//! Paging of lists.

use std::str::FromStr;

use grantex_core::store::{Page, Sifted};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ApiResult};
use super::query::Known;

const LARGEST_PAGE: u32 = 200;
const DEFAULT_PAGE: u32 = 100;
/// Rows that a page by number may skip: reading such a page costs reading all rows before it. A
/// page by cursor costs the same everywhere.
const FURTHEST_BY_NUMBER: u32 = 10_000;

/// Which part of a list to return: from a cursor, or by page number.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Most items to return.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Documented by each route with its own kind of id.
    #[param(ignore)]
    after: Option<String>,
    /// Page number, from 1; instead of `after`. Reaches the first 10,000 items; `after` goes
    /// further.
    #[param(minimum = 1)]
    page: Option<u32>,
    /// Items a page, with `page`.
    #[param(minimum = 1, maximum = 200)]
    page_size: Option<u32>,
}

impl Known for ListQuery {
    const NAMES: &'static [&'static str] = &["limit", "after", "page", "pageSize"];
}

impl ListQuery {
    /// The requested page of the store, with one row more, which shows whether there is a next
    /// page.
    pub(crate) fn page<Id: FromStr>(&self) -> ApiResult<Page<Id>> {
        self.page_of(DEFAULT_PAGE)
    }

    /// Like [`page`](Self::page), with another default size.
    pub(crate) fn page_of<Id: FromStr>(&self, default: u32) -> ApiResult<Page<Id>> {
        if [self.limit, self.page_size]
            .into_iter()
            .flatten()
            .any(|size| !(1..=LARGEST_PAGE).contains(&size))
        {
            return Err(ApiError::bad_request(format!(
                "limit and pageSize must be 1 to {LARGEST_PAGE}"
            )));
        }
        let size = self.limit.or(self.page_size).unwrap_or(default);
        let passed_over =
            self.page.unwrap_or(1).checked_sub(1).map(|pages| pages.saturating_mul(size));
        let offset = passed_over.ok_or_else(|| ApiError::bad_request("page must be at least 1"))?;
        if offset > FURTHEST_BY_NUMBER {
            return Err(ApiError::bad_request(format!(
                "page and pageSize reach only the first {FURTHEST_BY_NUMBER} items; to read \
                 further, send the `nextCursor` \
                 of the page before as `after`"
            )));
        }
        let after = self.after.as_deref().map(str::parse).transpose();
        let after = after.map_err(|_| {
            ApiError::bad_request("after must be the nextCursor of an earlier page")
        })?;
        Ok(Page { after, offset: u64::from(offset), limit: size.saturating_add(1) })
    }
}

/// Like [`next_cursor`], for a filtered list, which may stop before its page is full.
pub(crate) fn next_sifted<T, Id>(
    found: &mut Sifted<T, Id>,
    limit: u32,
    id: impl Fn(&T) -> Id,
) -> Option<Id> {
    next_cursor(&mut found.rows, limit, id).or(found.stopped_at.take())
}

/// Removes the additional row and returns the cursor of the next page, if there is one.
pub(crate) fn next_cursor<T, Id>(
    rows: &mut Vec<T>,
    limit: u32,
    id: impl Fn(&T) -> Id,
) -> Option<Id> {
    if rows.len() < limit as usize {
        return None;
    }
    rows.truncate(limit.saturating_sub(1) as usize);
    rows.last().map(id)
}
