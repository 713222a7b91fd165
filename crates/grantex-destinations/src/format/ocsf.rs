//! The Open Cybersecurity Schema Framework, 1.5: <https://schema.ocsf.io/1.5.0/>
//!
//! | Event | Class | Activity | About |
//! |---|---|---|---|
//! | `grant.created` | User Access Management (3005) | Assign Privileges (1) | the agent, who gets them; the principal acts |
//! | `grant.revoked` | Entity Management (3004) | Delete (4) | the grant; who revoked it acts |
//! | `token.issued` | Entity Management (3004) | Create (1) | the token |
//! | `budget.threshold`, `budget.exhausted` | Entity Management (3004) | Update (3) | the grant |
//! | any other | Entity Management (3004) | Other (99) | the grant, if it names one |
//!
//! A revocation is no User Access event, because that has to name the agent and the scopes, which
//! the event does not. Each is valid in 1.5.0 and in 1.8.0.

use grantex::{EventData, GrantexEvent, Payload, RevokedBy};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Identity & Access Management.
const CATEGORY: u64 = 3;

const INFORMATIONAL: u64 = 1;
const LOW: u64 = 2;
const MEDIUM: u64 = 3;

struct Kind {
    class: u64,
    class_name: &'static str,
    activity: u64,
    activity_name: &'static str,
    severity: u64,
    severity_name: &'static str,
}

impl Kind {
    const fn new(class: (u64, &'static str), activity: (u64, &'static str), severity: u64) -> Self {
        let severity_name = match severity {
            LOW => "Low",
            MEDIUM => "Medium",
            _ => "Informational",
        };
        let ((class, class_name), (activity, activity_name)) = (class, activity);
        Self { class, class_name, activity, activity_name, severity, severity_name }
    }
}

const USER_ACCESS: (u64, &str) = (3005, "User Access Management");
const ENTITY: (u64, &str) = (3004, "Entity Management");

/// Success: the event is about what has happened.
const SUCCESS: u64 = 1;

/// Kinds of users: a person, one with more rights, the system itself, and what none of them is.
const PERSON: u64 = 1;
const ADMIN: u64 = 2;
const SYSTEM: u64 = 3;
const OTHER: u64 = 99;

pub(super) fn event(event: &GrantexEvent) -> Value {
    let kind = match &event.data {
        Payload::Known(EventData::GrantCreated { .. }) => {
            Kind::new(USER_ACCESS, (1, "Assign Privileges"), INFORMATIONAL)
        }
        Payload::Known(EventData::GrantRevoked { .. }) => {
            Kind::new(ENTITY, (4, "Delete"), INFORMATIONAL)
        }
        Payload::Known(EventData::TokenIssued { .. }) => {
            Kind::new(ENTITY, (1, "Create"), INFORMATIONAL)
        }
        Payload::Known(EventData::BudgetThreshold { .. }) => Kind::new(ENTITY, (3, "Update"), LOW),
        Payload::Known(EventData::BudgetExhausted { .. }) => {
            Kind::new(ENTITY, (3, "Update"), MEDIUM)
        }
        _ => Kind::new(ENTITY, (99, "Other"), INFORMATIONAL),
    };
    let grant = super::grant_id(event);
    let data = super::data(event);
    let mut value = json!({
        "category_uid": CATEGORY,
        "category_name": "Identity & Access Management",
        "class_uid": kind.class,
        "class_name": kind.class_name,
        "activity_id": kind.activity,
        "activity_name": kind.activity_name,
        "type_uid": kind.class.saturating_mul(100).saturating_add(kind.activity),
        "type_name": format!("{}: {}", kind.class_name, kind.activity_name),
        "severity_id": kind.severity,
        "severity": kind.severity_name,
        "status_id": SUCCESS,
        "status": "Success",
        "time": event.timestamp.millis(),
        "metadata": {
            "version": "1.5.0",
            "uid": event.id.to_string(),
            "event_code": event.r#type,
            "product": {"name": "Grantex", "vendor_name": "Grantex"},
        },
        "unmapped": data,
        "raw_data": event.json(),
    });
    if let (Some(grant), Some(metadata)) = (&grant, value.get_mut("metadata")) {
        set(metadata, "correlation_uid", json!(grant));
    }
    match &event.data {
        Payload::Known(EventData::GrantCreated { agent_id, principal_id, scopes, .. }) => {
            set(
                &mut value,
                "user",
                json!({"uid": agent_id.to_string(), "type_id": OTHER, "type": "AI agent"}),
            );
            set(&mut value, "privileges", json!(scopes));
            set(&mut value, "resources", json!([{"uid": grant, "type": "Grant"}]));
            set(
                &mut value,
                "actor",
                json!({"user": {"uid": principal_id, "type_id": PERSON, "type": "User"}}),
            );
        }
        Payload::Known(EventData::GrantRevoked { revoked_by, .. }) => {
            let (type_id, kind) = match revoked_by {
                RevokedBy::Principal => (PERSON, "User"),
                RevokedBy::Developer => (ADMIN, "Admin"),
                RevokedBy::System => (SYSTEM, "System"),
            };
            set(
                &mut value,
                "actor",
                json!({"user": {"name": revoked_by, "type_id": type_id, "type": kind}}),
            );
            set(&mut value, "entity", entity(grant.as_deref(), "Grant", data));
        }
        Payload::Known(EventData::TokenIssued { token_id, .. }) => {
            set(&mut value, "entity", entity(Some(&token_id.to_string()), "Token", data));
        }
        _ if grant.is_some() => set(&mut value, "entity", entity(grant.as_deref(), "Grant", data)),
        // One that names no grant is about itself.
        _ => set(&mut value, "entity", entity(Some(&event.id.to_string()), "Event", data)),
    }
    value
}

fn entity(uid: Option<&str>, kind: &str, data: &RawValue) -> Value {
    json!({"uid": uid, "type_id": OTHER, "type": kind, "data": data})
}

fn set(value: &mut Value, name: &str, part: Value) {
    if let Some(object) = value.as_object_mut() {
        object.insert(name.to_owned(), part);
    }
}
