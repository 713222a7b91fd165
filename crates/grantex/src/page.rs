//! Lists, page by page.

use futures_util::{Stream, TryStreamExt as _, stream};

use crate::Error;

/// One page of a list, newest first.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// Where the next page starts (`after`); `None` on the last page.
    pub next_cursor: Option<String>,
    /// The number of all items, where the service counts them.
    pub total: Option<u64>,
}

impl<T> Page<T> {
    pub(crate) fn new(items: Vec<T>, next_cursor: Option<impl ToString>) -> Self {
        Self { items, next_cursor: next_cursor.map(|cursor| cursor.to_string()), total: None }
    }
}

/// A page of a list.
#[derive(Debug, Clone, Default)]
pub struct ListParams {
    /// The most items; the service's default unless given.
    pub limit: Option<u32>,
    /// Only items after this one: the [`Page::next_cursor`] of the page before.
    pub after: Option<String>,
}

/// Every item after `after`; `fetch` gets the page that starts there.
pub(crate) fn walk<T, F, Fut>(
    after: Option<String>,
    fetch: F,
) -> impl Stream<Item = Result<T, Error>> + Send
where
    T: Send,
    F: Fn(Option<String>) -> Fut + Send + Clone,
    Fut: Future<Output = Result<Page<T>, Error>> + Send,
{
    stream::try_unfold(Some(after), move |place| {
        let fetch = fetch.clone();
        async move {
            let Some(after) = place else { return Ok::<_, Error>(None) };
            let page = fetch(after).await?;
            let items = stream::iter(page.items.into_iter().map(Ok));
            Ok(Some((items, page.next_cursor.map(Some))))
        }
    })
    .try_flatten()
}
