//! How many streams a developer may have open, and how many through tickets.

use std::collections::HashMap;

use grantex_types::ErrorCode;

use super::ticket::{TicketHash, TicketRef};
use crate::http::error::{ApiError, ApiResult};
use crate::settings::StreamSettings;

/// The counts of one developer's open streams.
#[derive(Debug, Default)]
pub(super) struct StreamCounts {
    all: usize,
    by_tickets: usize,
    by_ticket: HashMap<TicketHash, usize>,
}

impl StreamCounts {
    /// Counts a stream that is about to open, unless it is beyond a limit.
    pub(super) fn add(
        &mut self,
        ticket: Option<&TicketRef>,
        limits: &StreamSettings,
    ) -> ApiResult<()> {
        let is_full = |open: usize, limit: usize| limit > 0 && open >= limit;
        if is_full(self.all, limits.most_per_developer) {
            return Err(full(format!(
                "this developer has {} open streams, the maximum; close some",
                self.all
            )));
        }
        if let Some(ticket) = ticket {
            let open = self.by_ticket.get(&ticket.hash).copied().unwrap_or(0);
            if is_full(open, limits.most_per_ticket) {
                return Err(full(format!(
                    "this ticket has {open} open streams, the maximum; close some"
                )));
            }
            if is_full(self.by_tickets, limits.most_by_tickets()) {
                return Err(full(format!(
                    "this developer's tickets have {} open streams, the maximum; the other \
                     streams are reserved for API keys",
                    self.by_tickets
                )));
            }
            self.by_tickets = self.by_tickets.saturating_add(1);
            self.by_ticket.insert(ticket.hash, open.saturating_add(1));
        }
        self.all = self.all.saturating_add(1);
        Ok(())
    }

    /// A stream has closed.
    pub(super) fn remove(&mut self, ticket: Option<&TicketRef>) {
        self.all = self.all.saturating_sub(1);
        let Some(ticket) = ticket else { return };
        self.by_tickets = self.by_tickets.saturating_sub(1);
        if let Some(open) = self.by_ticket.get_mut(&ticket.hash) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.by_ticket.remove(&ticket.hash);
            }
        }
    }
}

fn full(message: String) -> ApiError {
    ApiError::new(ErrorCode::TooManyConnections, message).retry_after(5)
}
