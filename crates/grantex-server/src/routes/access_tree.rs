//! A principal's grants as trees: what an agent passed on stands below what it has.

use std::collections::HashMap;

use grantex_core::model::Grant;
use grantex_core::store::{GrantFilter, Page, Read};
use grantex_core::usecase::grants;
use grantex_types::api::grants::GrantStatus;
use grantex_types::text::shown;
use grantex_types::{AgentId, DeveloperId, GrantId};

use super::pages::{State, spent, state};
use super::scopes::ScopeText;

/// Grants in force that one page shows, and of all grants the newest that it looks at: more than
/// people read at once.
const MOST_SHOWN: u32 = 200;

/// Scopes that the page shows of one grant: with those of all grants it stays a few megabytes at
/// worst. The question before a revocation shows all.
const MOST_SCOPES: usize = 20;

/// What one page shows.
pub(super) struct Access {
    /// Trees of which something is in force.
    pub(super) in_force: Vec<Row>,
    /// Trees that have ended as a whole.
    pub(super) ended: Vec<Row>,
    /// Whether there may be more that ended.
    pub(super) is_cut: bool,
    /// The last grant in force of this page, if there are older ones.
    pub(super) older: Option<GrantId>,
}

/// A grant in a list that nests: its rows follow in the order of the tree.
pub(super) struct Row {
    pub(super) id: GrantId,
    pub(super) agent: String,
    pub(super) scopes: Vec<ScopeText>,
    /// How many scopes it has beyond those.
    pub(super) other_scopes: usize,
    pub(super) state: State,
    pub(super) is_active: bool,
    pub(super) budget: Option<String>,
    pub(super) passed_on_by: Option<String>,
    /// Whether the next row is below this one.
    pub(super) has_below: bool,
    /// How many lists end after this row.
    pub(super) closes: usize,
}

impl Access {
    /// The newest grants in force, and the newest that ended; or those in force that are older than
    /// `after`.
    pub(super) fn load(
        store: &dyn Read,
        developer: DeveloperId,
        principal_id: &str,
        after: Option<GrantId>,
    ) -> grantex_core::Result<Self> {
        let of = |status| GrantFilter {
            principal_id: Some(principal_id.to_owned()),
            status,
            agent_id: None,
        };
        let page = Page { after, offset: 0, limit: MOST_SHOWN.saturating_add(1) };
        let active = grants::list(store, developer, &of(Some(GrantStatus::Active)), page)?;
        let (mut shown, mut older) = (active.rows, active.stopped_at);
        if shown.len() > MOST_SHOWN as usize {
            shown.truncate(MOST_SHOWN as usize);
            older = shown.last().map(|grant| grant.id);
        }
        let mut is_cut = false;
        if after.is_none() {
            let page = Page { after, offset: 0, limit: MOST_SHOWN };
            let newest = grants::list(store, developer, &of(None), page)?.rows;
            is_cut = newest.len() >= MOST_SHOWN as usize;
            shown.extend(newest.into_iter().filter(|grant| !grant.is_active(store.now())));
        }
        shown.sort_by_key(|grant| std::cmp::Reverse(grant.id));
        let mut loader =
            Loader { store, developer, agents: HashMap::new(), scopes: HashMap::new() };
        let (mut in_force, mut ended) = (Vec::new(), Vec::new());
        for tree in trees(&shown) {
            let is_active = tree.iter().any(|(grant, _)| grant.is_active(store.now()));
            let rows = loader.rows(&tree)?;
            if is_active { in_force.extend(rows) } else { ended.extend(rows) }
        }
        Ok(Self { in_force, ended, is_cut, older })
    }
}

/// A grant with how deep it stands in its tree.
type Placed<'a> = (&'a Grant, usize);

/// The grants by trees, in the order of `grants`. One whose parent is not among them is the top of
/// a tree.
fn trees(grants: &[Grant]) -> Vec<Vec<Placed<'_>>> {
    let among: HashMap<GrantId, &Grant> = grants.iter().map(|grant| (grant.id, grant)).collect();
    let mut below: HashMap<GrantId, Vec<&Grant>> = HashMap::new();
    let mut tops = Vec::new();
    for grant in grants {
        match grant.parent_id.filter(|parent| among.contains_key(parent)) {
            Some(parent) => below.entry(parent).or_default().push(grant),
            None => tops.push(grant),
        }
    }
    let mut all = Vec::new();
    for top in tops {
        let (mut tree, mut waiting) = (Vec::new(), vec![(top, 0_usize)]);
        while let Some((grant, depth)) = waiting.pop() {
            tree.push((grant, depth));
            let children = below.get(&grant.id).into_iter().flatten().rev();
            waiting.extend(children.map(|child| (*child, depth.saturating_add(1))));
        }
        all.push(tree);
    }
    all
}

/// Looks up what rows name, each agent and scope once.
struct Loader<'a> {
    store: &'a dyn Read,
    developer: DeveloperId,
    agents: HashMap<AgentId, String>,
    scopes: HashMap<String, ScopeText>,
}

impl Loader<'_> {
    fn rows(&mut self, tree: &[Placed<'_>]) -> grantex_core::Result<Vec<Row>> {
        let depths = tree.iter().map(|(_, depth)| *depth);
        let next_depths = depths.clone().skip(1).chain([0]);
        let mut rows = Vec::new();
        for ((grant, depth), next) in tree.iter().zip(next_depths) {
            rows.push(Row {
                id: grant.id,
                agent: self.agent(grant.agent_id)?,
                scopes: self.scopes(grant)?,
                other_scopes: grant.scopes.as_slice().len().saturating_sub(MOST_SCOPES),
                state: state(grant, self.store.now()),
                is_active: grant.is_active(self.store.now()),
                budget: self.store.budget(self.developer, grant.id)?.map(|budget| spent(&budget)),
                passed_on_by: self.giver(grant)?,
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

/// An agent's name as a page shows it.
pub(super) fn agent_name(
    store: &dyn Read,
    developer: DeveloperId,
    id: AgentId,
) -> grantex_core::Result<String> {
    let agent = store.agent(developer, id)?;
    Ok(agent.map_or_else(|| "A deleted agent".to_owned(), |agent| shown(&agent.name).into_owned()))
}
