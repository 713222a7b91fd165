//! A store that runs every command twice, for tests of what commands do.

use std::sync::Arc;

use grantex_core::store::{
    Command, Health, Needs, Query, QueryKind, Scope, Store, StoreResult, Tx, Verdict,
};

/// Runs every command twice: what the first run did is undone, as after a conflict. So a command
/// that uses up what it needs, or counts on what an earlier run did, fails its tests.
pub struct Twice(pub Arc<dyn Store>);

impl Store for Twice {
    fn submit(&self, scope: Scope, needs: Needs, command: Box<dyn Command>) {
        self.0.submit(scope, needs, Box::new(RunTwice { command, has_run: false }));
    }

    fn query(&self, scope: Scope, kind: QueryKind, query: Query) {
        self.0.query(scope, kind, query);
    }

    fn health(&self) -> Health {
        self.0.health()
    }
}

struct RunTwice {
    command: Box<dyn Command>,
    has_run: bool,
}

impl Command for RunTwice {
    fn name(&self) -> &'static str {
        self.command.name()
    }

    fn run(&mut self, tx: &mut dyn Tx) -> Verdict {
        let verdict = self.command.run(tx);
        if std::mem::replace(&mut self.has_run, true) { verdict } else { Verdict::Again }
    }

    fn finish(self: Box<Self>, outcome: StoreResult<()>) {
        self.command.finish(outcome);
    }
}
