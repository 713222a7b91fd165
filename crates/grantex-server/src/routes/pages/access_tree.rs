//! A principal's grants as trees: what an agent passed on stands below what it has.

use std::collections::HashMap;

use grantex_core::model::Grant;
use grantex_core::store::{GrantFilter, MOST_LOOKED_AT, Page, Read, Sifted};
use grantex_core::usecase::{cascade, grants};
use grantex_types::api::grants::GrantStatus;
use grantex_types::text::shown;
use grantex_types::{AgentId, DeveloperId, GrantId};

use super::layout::{State, spent, state};
use crate::routes::scopes::ScopeText;

/// Rows of grants in force after which a page starts no further tree, and rows of one page of a
/// single tree: more than people read at once.
const MOST_SHOWN: usize = 200;

/// Grants in force that a page shows below the top of a tree. The tree has a page of its own with
/// all of them.
const MOST_BELOW: usize = 20;

/// The newest grants among which a page looks for those that have ended.
const NEWEST: u32 = 200;

/// Grants that are read from the store at once while a page looks for the tops of trees.
const READ_AT_ONCE: u32 = 1_000;

/// Scopes that the page shows of one grant: with those of all grants it stays a few megabytes at
/// worst. The question before a revocation shows all.
const MOST_SCOPES: usize = 20;

/// Which page of a principal's access to show.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Only this grant and what is below it; all trees without it.
    pub(super) tree: Option<GrantId>,
    /// Only what is older than this grant.
    pub(super) after: Option<GrantId>,
}

/// What one page shows.
pub(super) struct Access {
    /// Trees of which something is in force.
    pub(super) in_force: Vec<Row>,
    /// Trees that have ended as a whole.
    pub(super) ended: Vec<Row>,
    /// Whether there may be more that ended.
    pub(super) is_cut: bool,
    /// Where the next page goes on, if there are older grants in force.
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
    /// How many more grants in force are below it, in words, where the page does not show all.
    pub(super) more_below: Option<String>,
    /// Whether the next row is below this one.
    pub(super) has_below: bool,
    /// How many lists end after this row.
    pub(super) closes: usize,
}

impl Access {
    /// Loads one page.
    pub(super) fn load(
        store: &dyn Read,
        developer: DeveloperId,
        principal_id: &str,
        part: Part,
    ) -> grantex_core::Result<Self> {
        let reader = Reader { store, developer, principal_id };
        match part.tree {
            Some(top) => reader.tree(top, part.after),
            None => reader.trees(part.after),
        }
    }
}

/// Reads the grants of one principal.
struct Reader<'a> {
    store: &'a dyn Read,
    developer: DeveloperId,
    principal_id: &'a str,
}

impl Reader<'_> {
    /// A page of trees, the newest top first. The page that starts with the newest one also has
    /// what ended.
    fn trees(&self, after: Option<GrantId>) -> grantex_core::Result<Access> {
        // The parent of a grant in force is in force too, so a top has no parent.
        let (tops, mut older) = self.active(after, |grant| Ok(grant.parent_id.is_none()))?;
        let (mut shown, mut more_below) = (Vec::new(), HashMap::new());
        let mut tops = tops.into_iter().peekable();
        while let Some(top) = tops.next() {
            let below = cascade::below(self.store, &top)?;
            let id = top.id;
            shown.push(top);
            for one in below.iter().take(MOST_BELOW) {
                shown.extend(self.store.grant(self.developer, one.subject.grant_id)?);
            }
            if below.len() > MOST_BELOW {
                more_below.insert(id, more(below.len()));
            }
            if shown.len() >= MOST_SHOWN && tops.peek().is_some() {
                older = Some(id);
                break;
            }
        }
        let mut is_cut = false;
        if after.is_none() {
            let page = Page { after: None, offset: 0, limit: NEWEST };
            let newest = self.list(None, page)?.rows;
            is_cut = newest.len() >= NEWEST as usize;
            let now = self.store.now();
            shown.extend(newest.into_iter().filter(|grant| !grant.is_active(now)));
        }
        shown.sort_by_key(|grant| std::cmp::Reverse(grant.id));
        let mut loader = Loader::new(self.store, self.developer, more_below);
        let (mut in_force, mut ended) = (Vec::new(), Vec::new());
        for tree in trees(&shown) {
            let is_active = tree.iter().any(|(grant, _)| grant.is_active(self.store.now()));
            let rows = loader.rows(&tree)?;
            if is_active { in_force.extend(rows) } else { ended.extend(rows) }
        }
        Ok(Access { in_force, ended, is_cut, older })
    }

    /// A page of one tree: its top, and what is in force below, the newest first.
    fn tree(&self, top: GrantId, after: Option<GrantId>) -> grantex_core::Result<Access> {
        let top = grants::of_principal(self.store, self.developer, self.principal_id, top)?;
        let mut known = HashMap::from([(top.id, true)]);
        let (below, older) = self.active(after, |grant| self.is_below(grant, &mut known))?;
        let below = below.iter().filter(|grant| grant.id != top.id).map(|grant| (grant, 1));
        let tree: Vec<Placed<'_>> = std::iter::once((&top, 0)).chain(below).collect();
        let rows = Loader::new(self.store, self.developer, HashMap::new()).rows(&tree)?;
        Ok(Access { in_force: rows, ended: Vec::new(), is_cut: false, older })
    }

    /// The principal's newest grants in force that `is_wanted` accepts, and after which one to go
    /// on if there may be more. It looks at [`MOST_LOOKED_AT`] at most.
    fn active(
        &self,
        after: Option<GrantId>,
        mut is_wanted: impl FnMut(&Grant) -> grantex_core::Result<bool>,
    ) -> grantex_core::Result<(Vec<Grant>, Option<GrantId>)> {
        let mut page = Page { after, offset: 0, limit: READ_AT_ONCE };
        let mut wanted = Vec::new();
        for _ in 0..MOST_LOOKED_AT.div_ceil(READ_AT_ONCE) {
            let found = self.list(Some(GrantStatus::Active), page)?;
            let is_full = found.rows.len() >= READ_AT_ONCE as usize;
            for grant in found.rows {
                if wanted.len() >= MOST_SHOWN {
                    return Ok((wanted, page.after));
                }
                page.after = Some(grant.id);
                if is_wanted(&grant)? {
                    wanted.push(grant);
                }
            }
            if let Some(stopped_at) = found.stopped_at {
                return Ok((wanted, Some(stopped_at)));
            }
            if !is_full {
                return Ok((wanted, None));
            }
        }
        Ok((wanted, page.after))
    }

    /// Whether a grant is one of those that `known` says yes to, or below one.
    fn is_below(
        &self,
        grant: &Grant,
        known: &mut HashMap<GrantId, bool>,
    ) -> grantex_core::Result<bool> {
        if let Some(is_below) = known.get(&grant.id) {
            return Ok(*is_below);
        }
        let (mut path, mut next) = (vec![grant.id], grant.parent_id);
        let is_below = loop {
            let Some(parent) = next else { break false };
            if let Some(is_below) = known.get(&parent) {
                break *is_below;
            }
            path.push(parent);
            let parent = self.store.grant(self.developer, parent)?;
            next = parent.and_then(|parent| parent.parent_id);
        };
        known.extend(path.into_iter().map(|id| (id, is_below)));
        Ok(is_below)
    }

    fn list(
        &self,
        status: Option<GrantStatus>,
        page: Page<GrantId>,
    ) -> grantex_core::Result<Sifted<Grant, GrantId>> {
        let principal_id = Some(self.principal_id.to_owned());
        let filter = GrantFilter { principal_id, status, agent_id: None };
        grants::list(self.store, self.developer, &filter, page)
    }
}

/// How many grants the page does not show of so many below one, in words.
fn more(below: usize) -> String {
    let least = cascade::LARGEST_AT_ONCE as usize;
    if below > least {
        return format!("more than {}", least.saturating_sub(MOST_BELOW));
    }
    below.saturating_sub(MOST_BELOW).to_string()
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
    more_below: HashMap<GrantId, String>,
}

impl<'a> Loader<'a> {
    fn new(
        store: &'a dyn Read,
        developer: DeveloperId,
        more_below: HashMap<GrantId, String>,
    ) -> Self {
        Self { store, developer, agents: HashMap::new(), scopes: HashMap::new(), more_below }
    }

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
                more_below: self.more_below.remove(&grant.id),
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
