//! Agents.

use grantex_types::api::agents::{AgentStatus, CreateAgentRequest, UpdateAgentRequest};
use grantex_types::{AgentId, DeveloperId};

use super::cascade;
use super::quotas::{self, Quotas};
use crate::model::{Agent, AgentChangeKind, Caller};
use crate::store::{Need, Needs, Page, Read, Tx};
use crate::{Error, Result, validate};

const LONGEST_DESCRIPTION: usize = 2000;

/// Registers an agent.
pub fn create(
    tx: &mut dyn Tx,
    caller: &Caller,
    request: CreateAgentRequest,
    quotas: &Quotas,
) -> Result<Agent> {
    let now = tx.now();
    let agent_id = AgentId::from_parts(now.millis(), tx.random());
    let agent = Agent {
        agent_id,
        did: agent_id.did(),
        developer_id: caller.developer_id,
        name: validate::name(&request.name)?,
        description: validate::lines(
            "description",
            &request.description.unwrap_or_default(),
            LONGEST_DESCRIPTION,
        )?,
        scopes: validate::scopes(request.scopes.unwrap_or_default(), 0)?,
        status: AgentStatus::Active,
        created_at: now,
        updated_at: now,
    };
    quotas::require_room_for_agent(tx, caller.developer_id, quotas)?;
    tx.insert_agent(&agent)?;
    Ok(agent)
}

/// An agent.
pub fn get(store: &dyn Read, caller: &Caller, id: AgentId) -> Result<Agent> {
    store.agent(caller.developer_id, id)?.ok_or_else(|| Error::not_found("agent"))
}

/// The developer's agents.
pub fn list(store: &dyn Read, caller: &Caller, page: Page<AgentId>) -> Result<Vec<Agent>> {
    Ok(store.agents(caller.developer_id, page)?)
}

/// What [`update`] and [`delete`] read by key.
pub fn change_needs(id: AgentId) -> Needs {
    [Need::Agent(id)].into()
}

/// Changes the fields that are given.
pub fn update(
    tx: &mut dyn Tx,
    caller: &Caller,
    id: AgentId,
    request: UpdateAgentRequest,
) -> Result<Agent> {
    let UpdateAgentRequest { name, description, scopes, status } = request;
    if name.is_none() && description.is_none() && scopes.is_none() && status.is_none() {
        return Err(Error::bad_request(
            "send at least one of name, description, scopes and status",
        ));
    }
    let mut agent = get(tx, caller, id)?;
    if let Some(name) = name {
        agent.name = validate::name(&name)?;
    }
    if let Some(description) = description {
        agent.description = validate::lines("description", &description, LONGEST_DESCRIPTION)?;
    }
    if let Some(scopes) = scopes {
        agent.scopes = validate::scopes(scopes, 0)?;
    }
    agent.updated_at = tx.now();
    if let Some(status) = status.filter(|status| *status != agent.status) {
        agent.status = status;
        let change = match status {
            AgentStatus::Active => AgentChangeKind::Resumed,
            AgentStatus::Suspended => AgentChangeKind::Suspended,
        };
        tx.insert_agent_change(caller.developer_id, id, change, agent.updated_at)?;
    }
    tx.update_agent(&agent)?;
    Ok(agent)
}

/// Deletes an agent and revokes its grants and everything delegated from them.
pub fn delete(tx: &mut dyn Tx, caller: &Caller, id: AgentId) -> Result<()> {
    let agent = get(tx, caller, id)?;
    let now = tx.now();
    tx.delete_agent(caller.developer_id, agent.agent_id, now)?;
    tx.insert_agent_change(caller.developer_id, agent.agent_id, AgentChangeKind::Deleted, now)?;
    cascade::revoke_agent(tx, caller.developer_id, agent.agent_id)
}

/// Those of these agents that are not active: suspended, or deleted.
pub(super) fn suspended(
    store: &dyn Read,
    developer: DeveloperId,
    ids: &[AgentId],
) -> Result<Vec<AgentId>> {
    let mut suspended = Vec::new();
    for id in ids {
        let agent = store.agent(developer, *id)?;
        if agent.is_none_or(|agent| agent.status != AgentStatus::Active) {
            suspended.push(*id);
        }
    }
    Ok(suspended)
}

/// The agent, if it may be given grants and tokens.
pub(super) fn active(store: &dyn Read, caller: &Caller, id: &str) -> Result<Agent> {
    let agent = match id.parse() {
        Ok(id) => store.agent(caller.developer_id, id)?,
        Err(_) => None,
    };
    agent
        .filter(|agent| agent.status == AgentStatus::Active)
        .ok_or_else(|| Error::not_found("active agent"))
}
