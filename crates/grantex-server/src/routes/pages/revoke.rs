//! The page that asks a principal before it revokes, and says what ends.

use askama::Template;
use grantex_core::model::Reached;
use grantex_core::store::Read;
use grantex_core::usecase::scopes::ScopeText;
use grantex_core::usecase::{cascade, grants};
use grantex_types::{AgentId, DeveloperId, GrantId};

use super::access_tree::agent_name;
use super::layout::{STYLE, money};

/// Agents that the page names: as many as fit into a sentence.
const MOST_NAMED: usize = 10;

#[derive(Template)]
#[template(path = "revoke.html")]
pub(super) struct Revoke {
    id: GrantId,
    agent: String,
    scopes: Vec<ScopeText>,
    /// How many grants below end with it, in words.
    below: Option<String>,
    agents: Vec<Receiver>,
    other_agents: usize,
    /// Whether more grants are below than were read, so that agents may be missing.
    is_partial: bool,
    /// What is left of its budget.
    unspent: Option<String>,
    pub(super) token: String,
    style: &'static str,
}

/// An agent that was passed something on.
struct Receiver {
    name: String,
    /// How many grants; 0 where that is not known.
    count: usize,
}

impl Revoke {
    /// What would end with a grant; `None` if it has ended.
    pub(super) fn load(
        store: &dyn Read,
        developer: DeveloperId,
        principal_id: &str,
        id: GrantId,
    ) -> grantex_core::Result<Option<Self>> {
        let grant = grants::of_principal(store, developer, principal_id, id)?;
        if !grant.is_active(store.now()) {
            return Ok(None);
        }
        let below = cascade::below(store, &grant)?;
        let counts = by_agent(&below);
        // Of more than were looked at, no agent's share is known.
        let is_partial = below.len() > cascade::LARGEST_AT_ONCE as usize;
        let named = counts.iter().take(MOST_NAMED).map(|(agent, count)| {
            let count = if is_partial { 0 } else { *count };
            Ok(Receiver { name: agent_name(store, developer, *agent)?, count })
        });
        let scopes = grant.scopes.as_slice().iter();
        let budget =
            store.budget(developer, id)?.filter(|budget| !budget.remaining_budget.is_zero());
        Ok(Some(Self {
            id,
            agent: agent_name(store, developer, grant.agent_id)?,
            scopes: scopes
                .map(|scope| ScopeText::load(store, developer, scope))
                .collect::<grantex_core::Result<_>>()?,
            below: in_words(below.len()),
            agents: named.collect::<grantex_core::Result<_>>()?,
            other_agents: counts.len().saturating_sub(MOST_NAMED),
            is_partial,
            unspent: budget.map(|budget| money(budget.remaining_budget, &budget.currency)),
            token: String::new(),
            style: STYLE,
        }))
    }
}

/// How many of the grants each agent has, in the order in which they come.
fn by_agent(below: &[Reached]) -> Vec<(AgentId, usize)> {
    let mut counts: Vec<(AgentId, usize)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for one in below {
        let agent = one.subject.agent_id;
        let place = *places.entry(agent).or_insert(counts.len());
        match counts.get_mut(place) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => counts.push((agent, 1)),
        }
    }
    counts
}

fn in_words(count: usize) -> Option<String> {
    match count {
        0 => None,
        1 => Some("once".into()),
        2 => Some("twice".into()),
        many if many > cascade::LARGEST_AT_ONCE as usize => {
            Some(format!("more than {} times", cascade::LARGEST_AT_ONCE))
        }
        many => Some(format!("{many} times")),
    }
}
