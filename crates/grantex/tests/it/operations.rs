//! The operations that cases name.

use futures_util::{Stream, TryStreamExt as _};
use grantex::api::tokens::VerifyRequest;
use grantex::resources::{GrantListParams, OfflineParams, PrincipalSessionListParams};
use grantex::{
    Client, Error, GrantexEvent, HistoryParams, ListParams, Page, TicketParams, Verifier,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cases::envelope;

fn request<T: DeserializeOwned>(args: &Value) -> T {
    serde_json::from_value(args.clone()).unwrap()
}

fn value(result: impl Serialize) -> Value {
    serde_json::to_value(result).unwrap()
}

fn page<T: Serialize>(page: &Page<T>) -> Value {
    let mut value = json!({ "items": page.items, "nextCursor": page.next_cursor });
    if let Some(total) = page.total {
        value["total"] = json!(total);
    }
    value
}

async fn all<T: Serialize>(items: impl Stream<Item = Result<T, Error>>) -> Result<Value, Error> {
    items.try_collect::<Vec<T>>().await.map(value)
}

fn tokens(args: &Value) -> impl Iterator<Item = &str> {
    args["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap())
}

/// Checks the case's tokens with a verifier.
pub(crate) async fn verify(verifier: Verifier, args: &Value) -> Result<Value, Error> {
    let params = OfflineParams { audience: args["audience"].as_str().map(str::to_owned) };
    let mut claims = Vec::new();
    for token in tokens(args) {
        claims.push(verifier.verify(token, &params).await?);
    }
    Ok(value(claims))
}

/// Calls the operation with the case's arguments; its result in the wire's form.
#[expect(clippy::too_many_lines, reason = "an arm for each operation")]
pub(crate) async fn call(client: &Client, operation: &str, args: &Value) -> Result<Value, Error> {
    let text = |name: &str| args[name].as_str().unwrap_or_default().to_owned();
    let maybe = |name: &str| args[name].as_str().map(str::to_owned);
    let limit = args["limit"].as_u64().map(|limit| u32::try_from(limit).unwrap());
    let list = ListParams { limit, after: maybe("after") };
    let grants = GrantListParams {
        agent_id: maybe("agentId"),
        principal_id: maybe("principalId"),
        status: args.get("status").filter(|_| operation.starts_with("grants")).map(request),
        limit,
        after: maybe("after"),
    };
    let history = HistoryParams {
        event_types: args.get("eventTypes").map(request).unwrap_or_default(),
        since: maybe("since"),
        agent_id: maybe("agentId"),
        principal_id: maybe("principalId"),
        grant_id: maybe("grantId"),
        limit,
        after: maybe("after"),
        until: maybe("until"),
        before: maybe("before"),
        newest_first: args["newestFirst"] == true,
    };
    let session_list = PrincipalSessionListParams {
        principal_id: maybe("principalId"),
        limit,
        after: maybe("after"),
    };
    let sessions = client.principal_sessions();
    let mut agents = client.agents();
    if let Some(key) = maybe("idempotencyKey") {
        agents = agents.idempotency_key(key);
    }
    Ok(match operation {
        "signup" => value(client.signup(&request(args)).await?),
        "me" => value(client.me().await?),
        "keys.list" => page(&client.keys().list(&list).await?),
        "keys.list.all" => all(client.keys().all(list)).await?,
        "keys.create" => value(client.keys().create(text("name")).await?),
        "keys.revoke" => value(client.keys().revoke(text("keyId")).await?),
        "keys.rotate" => value(client.keys().rotate().await?),
        "agents.create" => value(agents.create(&request(args)).await?),
        "agents.list" => page(&agents.list(&list).await?),
        "agents.list.all" => all(agents.all(list)).await?,
        "agents.get" => value(agents.get(text("agentId")).await?),
        "agents.update" => value(agents.update(text("agentId"), &request(args)).await?),
        "agents.delete" => value(agents.delete(text("agentId")).await?),
        "authorize" => value(client.authorize(&request(args)).await?),
        "authorizations.approve" => {
            value(client.authorizations().approve(text("authRequestId")).await?)
        }
        "authorizations.deny" => value(client.authorizations().deny(text("authRequestId")).await?),
        "tokens.exchange" => value(client.tokens().exchange(&request(args)).await?),
        "tokens.refresh" => value(client.tokens().refresh(&request(args)).await?),
        "tokens.verify" => value(client.tokens().verify(request::<VerifyRequest>(args)).await?),
        "tokens.revoke" => value(client.tokens().revoke(text("tokenId")).await?),
        "tokens.verifyOffline" => {
            let params = OfflineParams { audience: maybe("audience") };
            let mut claims = Vec::new();
            for token in tokens(args) {
                claims.push(client.tokens().verify_offline(token, &params).await?);
            }
            value(claims)
        }
        "grants.list" => page(&client.grants().list(&grants).await?),
        "grants.list.all" => all(client.grants().all(grants)).await?,
        "grants.get" => value(client.grants().get(text("grantId")).await?),
        "grants.revoke" => value(client.grants().revoke(text("grantId")).await?),
        "grants.delegate" => value(client.grants().delegate(&request(args)).await?),
        "grants.verify" => value(client.grants().verify(request::<VerifyRequest>(args)).await?),
        "budgets.allocate" => value(client.budgets().allocate(&request(args)).await?),
        "budgets.debit" => value(client.budgets().debit(&request(args)).await?),
        "budgets.get" => value(client.budgets().get(text("grantId")).await?),
        "budgets.list" => page(&client.budgets().list(&list).await?),
        "budgets.list.all" => all(client.budgets().all(list)).await?,
        "budgets.transactions" => {
            page(&client.budgets().transactions(text("grantId"), &list).await?)
        }
        "budgets.transactions.all" => {
            all(client.budgets().all_transactions(text("grantId"), list)).await?
        }
        "events.list" => {
            let found = client.events().list(&history).await?;
            let items: Vec<Value> = found.items.iter().map(envelope).collect();
            let raws: Vec<&str> = found.items.iter().map(GrantexEvent::json).collect();
            json!({ "items": items, "nextCursor": found.next_cursor, "raws": raws })
        }
        "events.get" => {
            let found = client.events().get(text("eventId")).await?;
            let event = envelope(&found.event);
            json!({ "position": found.position, "event": event, "raws": [found.event.json()] })
        }
        "events.list.all" => {
            all(client.events().all(history).map_ok(|event| envelope(&event))).await?
        }
        "events.createTicket" => {
            let params = TicketParams {
                expires_in: maybe("expiresIn"),
                event_types: args.get("eventTypes").map(request).unwrap_or_default(),
                agent_id: maybe("agentId"),
                principal_id: maybe("principalId"),
                grant_id: maybe("grantId"),
            };
            value(client.events().create_ticket(&params).await?)
        }
        "scopeNames.set" => value(client.scope_names().set(&request(args)).await?),
        "scopeNames.list" => value(client.scope_names().list().await?),
        "scopeNames.remove" => value(client.scope_names().remove(text("scope")).await?),
        "principalSessions.create" => value(sessions.create(&request(args)).await?),
        "principalSessions.list" => page(&sessions.list(&session_list).await?),
        "principalSessions.list.all" => all(sessions.all(session_list)).await?,
        "principalSessions.end" => value(sessions.end(text("sessionId")).await?),
        "principalSessions.endAll" => value(sessions.end_all(text("principalId")).await?),
        "audit.list" => page(&client.audit().list(&list).await?),
        "audit.list.all" => all(client.audit().all(list)).await?,
        other => panic!("no operation is called {other}"),
    })
}
