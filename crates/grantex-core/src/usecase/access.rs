//! What a principal's agents may do: grants as trees, a page of them at a time.

use std::cmp::Reverse;
use std::collections::HashMap;

use grantex_types::api::grants::GrantStatus;
use grantex_types::{DeveloperId, GrantId};

use super::{cascade, grants};
use crate::Result;
use crate::model::Grant;
use crate::store::{GrantFilter, MOST_LOOKED_AT, Page, Read, Sifted};

/// Rows of grants in force after which a page starts no further tree, and rows of one page of a
/// single tree: more than people read at once.
const MOST_SHOWN: usize = 200;

/// Grants in force that a page of all trees has below the top of one. The tree has pages of its own
/// with all of them.
const MOST_BELOW: usize = 20;

/// The newest grants among which a page looks for those that have ended.
const NEWEST: u32 = 200;

/// Grants that are read from the store at once while a page looks for the tops of trees.
const READ_AT_ONCE: u32 = 1_000;

/// Which page of a principal's access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Only this grant and what is below it; all trees without it.
    pub tree: Option<GrantId>,
    /// Only what is older than this grant.
    pub after: Option<GrantId>,
}

/// One page of a principal's access.
#[derive(Debug, Clone)]
pub struct Access {
    /// Trees of which something is in force.
    pub in_force: Vec<Node>,
    /// Trees that have ended as a whole.
    pub ended: Vec<Node>,
    /// Whether there may be more that ended.
    pub is_cut: bool,
    /// Where the next page continues, if there are older grants in force.
    pub older: Option<GrantId>,
}

/// A grant in a tree. Nodes follow in the order of their trees, each before what is below it.
#[derive(Debug, Clone)]
pub struct Node {
    /// The grant.
    pub grant: Grant,
    /// How deep it stands; 0 at the top of a tree.
    pub depth: usize,
    /// Grants in force below a top that the page leaves out.
    pub left_out: Option<LeftOut>,
}

/// How many grants a page leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// So many.
    Exactly(usize),
    /// More than so many: no more were counted.
    MoreThan(usize),
}

/// Loads one page of what the principal's agents may do, the newest trees first. The first page of
/// all trees also has what ended.
pub fn load(
    store: &dyn Read,
    developer: DeveloperId,
    principal_id: &str,
    part: Part,
) -> Result<Access> {
    let reader = Reader { store, developer, principal_id };
    match part.tree {
        Some(top) => reader.tree(top, part.after),
        None => reader.trees(part.after),
    }
}

/// Reads the grants of one principal.
struct Reader<'a> {
    store: &'a dyn Read,
    developer: DeveloperId,
    principal_id: &'a str,
}

impl Reader<'_> {
    fn trees(&self, after: Option<GrantId>) -> Result<Access> {
        // The parent of a grant in force is in force too, so a top has no parent.
        let (tops, mut older) = self.active(after, |grant| Ok(grant.parent_id.is_none()))?;
        let (mut shown, mut left_out) = (Vec::new(), HashMap::new());
        let mut tops = tops.into_iter().peekable();
        while let Some(top) = tops.next() {
            let below = cascade::below(self.store, &top)?;
            let id = top.id;
            shown.push(top);
            for one in below.iter().take(MOST_BELOW) {
                shown.extend(self.store.grant(self.developer, one.subject.grant_id)?);
            }
            left_out.extend(LeftOut::of(below.len()).map(|left_out| (id, left_out)));
            if shown.len() >= MOST_SHOWN && tops.peek().is_some() {
                older = Some(id);
                break;
            }
        }
        let now = self.store.now();
        let mut is_cut = false;
        if after.is_none() {
            let page = Page { after: None, offset: 0, limit: NEWEST };
            let newest = self.list(None, page)?.rows;
            is_cut = newest.len() >= NEWEST as usize;
            shown.extend(newest.into_iter().filter(|grant| !grant.is_active(now)));
        }
        shown.sort_by_key(|grant| Reverse(grant.id));
        let (mut in_force, mut ended) = (Vec::new(), Vec::new());
        for mut tree in trees(shown) {
            for node in &mut tree {
                node.left_out = left_out.remove(&node.grant.id);
            }
            let is_active = tree.iter().any(|node| node.grant.is_active(now));
            if is_active { in_force.extend(tree) } else { ended.extend(tree) }
        }
        Ok(Access { in_force, ended, is_cut, older })
    }

    /// A page of one tree: its top, and what is in force below, the newest first.
    fn tree(&self, top: GrantId, after: Option<GrantId>) -> Result<Access> {
        let top = grants::of_principal(self.store, self.developer, self.principal_id, top)?;
        let top_id = top.id;
        let mut known = HashMap::from([(top_id, true)]);
        let (below, older) = self.active(after, |grant| self.is_below(grant, &mut known))?;
        let below = below.into_iter().filter(|grant| grant.id != top_id);
        let node = |grant, depth| Node { grant, depth, left_out: None };
        let in_force =
            std::iter::once(node(top, 0)).chain(below.map(|grant| node(grant, 1))).collect();
        Ok(Access { in_force, ended: Vec::new(), is_cut: false, older })
    }

    /// The principal's newest grants in force that `is_wanted` accepts, and after which one to
    /// continue if there may be more. It reads [`MOST_LOOKED_AT`] at most.
    fn active(
        &self,
        after: Option<GrantId>,
        mut is_wanted: impl FnMut(&Grant) -> Result<bool>,
    ) -> Result<(Vec<Grant>, Option<GrantId>)> {
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

    /// Whether `known` accepts a grant or one above it.
    fn is_below(&self, grant: &Grant, known: &mut HashMap<GrantId, bool>) -> Result<bool> {
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
    ) -> Result<Sifted<Grant, GrantId>> {
        let principal_id = Some(self.principal_id.to_owned());
        let filter = GrantFilter { principal_id, status, agent_id: None };
        grants::list(self.store, self.developer, &filter, page)
    }
}

impl LeftOut {
    /// What a page leaves out of so many grants below a top, as [`cascade::below`] counts them.
    fn of(below: usize) -> Option<Self> {
        let most_counted = cascade::LARGEST_AT_ONCE as usize;
        match below {
            below if below <= MOST_BELOW => None,
            below if below > most_counted => {
                Some(Self::MoreThan(most_counted.saturating_sub(MOST_BELOW)))
            }
            below => Some(Self::Exactly(below.saturating_sub(MOST_BELOW))),
        }
    }
}

/// The grants by trees, in the order of `grants`. One whose parent is not among them is the top of
/// a tree.
fn trees(grants: Vec<Grant>) -> Vec<Vec<Node>> {
    let order: Vec<GrantId> = grants.iter().map(|grant| grant.id).collect();
    let mut among: HashMap<GrantId, Grant> =
        grants.into_iter().map(|grant| (grant.id, grant)).collect();
    let (mut below, mut tops) = (HashMap::<GrantId, Vec<GrantId>>::new(), Vec::new());
    for id in order {
        let parent = among.get(&id).and_then(|grant| grant.parent_id);
        match parent.filter(|parent| among.contains_key(parent)) {
            Some(parent) => below.entry(parent).or_default().push(id),
            None => tops.push(id),
        }
    }
    let mut all = Vec::new();
    for top in tops {
        let (mut tree, mut waiting) = (Vec::new(), vec![(top, 0_usize)]);
        while let Some((id, depth)) = waiting.pop() {
            let children = below.remove(&id).unwrap_or_default().into_iter().rev();
            waiting.extend(children.map(|child| (child, depth.saturating_add(1))));
            tree.extend(among.remove(&id).map(|grant| Node { grant, depth, left_out: None }));
        }
        all.push(tree);
    }
    all
}
