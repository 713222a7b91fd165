//! A destination that is written in JavaScript.

use std::sync::Arc;

use grantex_destinations::{Batch, EventDestination, SendError};

use crate::calls::Calls;

/// Which optional methods the destination has.
#[derive(Clone, Copy)]
pub(crate) struct Methods {
    pub(crate) has_flush: bool,
    pub(crate) has_close: bool,
}

pub(crate) struct Custom {
    name: String,
    methods: Methods,
    calls: Arc<Calls>,
}

impl Custom {
    pub(crate) fn new(name: String, methods: Methods, calls: Arc<Calls>) -> Self {
        Self { name, methods, calls }
    }

    async fn ask(&self, kind: &str, payload: String, events: usize) -> Result<(), SendError> {
        self.calls.ask(kind, &self.name, payload).await?.into_result(events)
    }
}

impl EventDestination for Custom {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        self.ask("send", payload(batch), batch.len()).await
    }

    async fn flush(&self) -> Result<(), SendError> {
        if self.methods.has_flush {
            // A flush cannot reject events.
            return self.ask("flush", String::new(), 0).await;
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), SendError> {
        if self.methods.has_close {
            return self.ask("close", String::new(), 0).await;
        }
        Ok(())
    }
}

/// One text for the whole batch: a call costs more than its payload.
fn payload(batch: &Batch) -> String {
    let texts = batch.events().iter().map(|event| event.json().len().saturating_add(1));
    let mut payload = String::with_capacity(texts.sum::<usize>().saturating_add(64));
    payload.push_str(r#"{"isRepeat":"#);
    payload.push_str(if batch.is_repeat() { "true" } else { "false" });
    payload.push_str(r#","isRedelivery":"#);
    payload.push_str(if batch.is_redelivery() { "true" } else { "false" });
    payload.push_str(r#","events":["#);
    for (index, event) in batch.events().iter().enumerate() {
        if index > 0 {
            payload.push(',');
        }
        payload.push_str(event.json());
    }
    payload.push_str("]}");
    payload
}
