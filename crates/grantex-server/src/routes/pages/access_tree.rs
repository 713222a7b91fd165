//! The rows of a principal's access trees: what an agent passed on stands below what it has.

use std::collections::HashMap;

use grantex_core::model::Grant;
use grantex_core::store::Read;
use grantex_core::usecase::access::{LeftOut, Node};
use grantex_core::usecase::scopes::ScopeText;
use grantex_types::text::shown;
use grantex_types::{AgentId, DeveloperId, GrantId};

use super::layout::{State, readable, spent, state};

/// Scopes that the page shows of one grant: with those of all grants it stays a few megabytes at
/// worst. The question before a revocation shows all.
const MOST_SCOPES: usize = 20;

/// A grant in a list that nests: its rows follow in the order of the tree.
pub(super) struct Row {
    pub(super) id: GrantId,
    pub(super) agent: String,
    pub(super) scopes: Vec<ScopeText>,
    /// How many scopes it has beyond those.
    pub(super) other_scopes: usize,
    /// When the principal gave it, or another agent passed it on.
    pub(super) given: String,
    pub(super) state: State,
    pub(super) is_active: bool,
    pub(super) budget: Option<String>,
    pub(super) passed_on_by: Option<String>,
    /// How many more grants in force are below it, in words, where the page does not show all.
    pub(super) more_below: Option<String>,
    /// Whether the next row is below this one.
    pub(super) has_below: bool,
    /// How many lists end after this row.
    pub(super) closes: usize,
}

/// Looks up what rows name, each agent and scope once.
pub(super) struct Loader<'a> {
    store: &'a dyn Read,
    developer: DeveloperId,
    agents: HashMap<AgentId, String>,
    scopes: HashMap<String, ScopeText>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(store: &'a dyn Read, developer: DeveloperId) -> Self {
        Self { store, developer, agents: HashMap::new(), scopes: HashMap::new() }
    }

    /// Rows for nodes, which follow in the order of their trees.
    pub(super) fn rows(&mut self, nodes: &[Node]) -> grantex_core::Result<Vec<Row>> {
        let next_depths = nodes.iter().map(|node| node.depth).skip(1).chain([0]);
        let mut rows = Vec::new();
        for (Node { grant, depth, left_out }, next) in nodes.iter().zip(next_depths) {
            rows.push(Row {
                id: grant.id,
                agent: self.agent(grant.agent_id)?,
                scopes: self.scopes(grant)?,
                other_scopes: grant.scopes.as_slice().len().saturating_sub(MOST_SCOPES),
                given: readable(grant.issued_at),
                state: state(grant, self.store.now()),
                is_active: grant.is_active(self.store.now()),
                budget: self.store.budget(self.developer, grant.id)?.map(|budget| spent(&budget)),
                passed_on_by: self.giver(grant)?,
                more_below: left_out.map(in_words),
                has_below: next > *depth,
                closes: depth.saturating_sub(next),
            });
        }
        Ok(rows)
    }

    fn agent(&mut self, id: AgentId) -> grantex_core::Result<String> {
        if let Some(name) = self.agents.get(&id) {
            return Ok(name.clone());
        }
        let name = agent_name(self.store, self.developer, id)?;
        self.agents.insert(id, name.clone());
        Ok(name)
    }

    /// The agent that passed a grant on.
    fn giver(&mut self, grant: &Grant) -> grantex_core::Result<Option<String>> {
        let parent = match grant.parent_id {
            Some(parent) => self.store.grant(self.developer, parent)?,
            None => None,
        };
        parent.map(|parent| self.agent(parent.agent_id)).transpose()
    }

    /// The first scopes of a grant. Their descriptions stand where the principal decides.
    fn scopes(&mut self, grant: &Grant) -> grantex_core::Result<Vec<ScopeText>> {
        let mut texts = Vec::new();
        for scope in grant.scopes.as_slice().iter().take(MOST_SCOPES) {
            if let Some(text) = self.scopes.get(scope) {
                texts.push(text.clone());
                continue;
            }
            let text = ScopeText::load(self.store, self.developer, scope)?;
            let text = ScopeText { description: String::new(), ..text };
            self.scopes.insert(scope.clone(), text.clone());
            texts.push(text);
        }
        Ok(texts)
    }
}

fn in_words(left_out: LeftOut) -> String {
    match left_out {
        LeftOut::Exactly(count) => count.to_string(),
        LeftOut::MoreThan(count) => format!("more than {count}"),
    }
}

/// An agent's name as a page shows it.
pub(super) fn agent_name(
    store: &dyn Read,
    developer: DeveloperId,
    id: AgentId,
) -> grantex_core::Result<String> {
    let agent = store.agent(developer, id)?;
    Ok(agent.map_or_else(|| "A deleted agent".to_owned(), |agent| shown(&agent.name).into_owned()))
}
