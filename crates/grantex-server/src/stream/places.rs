//! How many streams a developer may have open, and through which tickets.

use std::collections::HashMap;

use grantex_types::ErrorCode;

use super::ticket::{Held, TicketHash};
use crate::http::error::{ApiError, ApiResult};

/// Limits on one developer's open streams; 0 switches each off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// In all.
    pub(crate) streams: usize,
    /// Through tickets: the rest is reserved for API keys.
    pub(crate) ticket_streams: usize,
    /// Through one ticket.
    pub(crate) per_ticket: usize,
}

/// The places that one developer's streams take.
#[derive(Debug, Default)]
pub(super) struct Places {
    all: usize,
    by_tickets: usize,
    by_ticket: HashMap<TicketHash, usize>,
}

impl Places {
    /// Takes a place, if there is one.
    pub(super) fn take(&mut self, ticket: Option<&Held>, limits: &Limits) -> ApiResult<()> {
        let is_full = |open: usize, limit: usize| limit > 0 && open >= limit;
        if is_full(self.all, limits.streams) {
            return Err(full(format!(
                "this developer has {} open streams, the most there may be; close some",
                self.all
            )));
        }
        if let Some(ticket) = ticket {
            let open = self.by_ticket.get(&ticket.hash).copied().unwrap_or(0);
            if is_full(open, limits.per_ticket) {
                return Err(full(format!(
                    "this ticket has {open} open streams, the most there may be; close some"
                )));
            }
            if is_full(self.by_tickets, limits.ticket_streams) {
                return Err(full(format!(
                    "this developer's tickets have {} open streams, the most there may be; the other places are for API keys",
                    self.by_tickets
                )));
            }
            self.by_tickets = self.by_tickets.saturating_add(1);
            self.by_ticket.insert(ticket.hash, open.saturating_add(1));
        }
        self.all = self.all.saturating_add(1);
        Ok(())
    }

    /// Gives a place back.
    pub(super) fn free(&mut self, ticket: Option<&Held>) {
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
