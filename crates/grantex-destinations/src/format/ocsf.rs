//! The Open Cybersecurity Schema Framework, 1.5: <https://schema.ocsf.io/1.5.0/>
//!
//! | Event | Class | Activity |
//! |---|---|---|
//! | `grant.created` | User Access Management (3005) | Assign Privileges (1) |
//! | `grant.revoked` | User Access Management (3005) | Revoke Privileges (2) |
//! | `token.issued` | Authorize Session (3003) | Assign Privileges (1) |
//! | `budget.threshold`, `budget.exhausted` | Entity Management (3004) | Update (3) |
//! | any other | Entity Management (3004) | Other (99) |

use grantex::{EventData, GrantexEvent, Payload};
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
const SESSION: (u64, &str) = (3003, "Authorize Session");
const ENTITY: (u64, &str) = (3004, "Entity Management");

pub(super) fn event(event: &GrantexEvent) -> Value {
    let assign = (1, "Assign Privileges");
    let kind = match &event.data {
        Payload::Known(EventData::GrantCreated { .. }) => Kind::new(USER_ACCESS, assign, INFORMATIONAL),
        Payload::Known(EventData::GrantRevoked { .. }) => {
            Kind::new(USER_ACCESS, (2, "Revoke Privileges"), INFORMATIONAL)
        }
        Payload::Known(EventData::TokenIssued { .. }) => Kind::new(SESSION, assign, INFORMATIONAL),
        Payload::Known(EventData::BudgetThreshold { .. }) => Kind::new(ENTITY, (3, "Update"), LOW),
        Payload::Known(EventData::BudgetExhausted { .. }) => Kind::new(ENTITY, (3, "Update"), MEDIUM),
        _ => Kind::new(ENTITY, (99, "Other"), INFORMATIONAL),
    };
    let grant = super::grant_id(event).unwrap_or_default();
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
        "time": event.timestamp.millis(),
        "metadata": {
            "version": "1.5.0",
            "uid": event.id.to_string(),
            "event_code": event.r#type,
            "product": {"name": "Grantex", "vendor_name": "Grantex"},
        },
        "unmapped": super::data(event),
        "raw_data": event.json(),
    });
    let (name, about) = match &event.data {
        Payload::Known(EventData::GrantCreated { agent_id, principal_id, scopes, .. }) => {
            let user = json!({"uid": principal_id, "type_id": 1});
            set(&mut value, "privileges", json!(scopes));
            set(&mut value, "actor", json!({"app_uid": agent_id.to_string()}));
            set(&mut value, "resources", json!([resource(&grant)]));
            ("user", user)
        }
        Payload::Known(EventData::GrantRevoked { revoked_by, .. }) => {
            set(&mut value, "privileges", json!([]));
            set(&mut value, "resources", json!([resource(&grant)]));
            set(&mut value, "actor", json!({"user": {"type": revoked_by}}));
            // Who had given the grant is in its `grant.created`.
            ("user", json!({"uid": grant, "type_id": 99, "type": "Grant"}))
        }
        Payload::Known(EventData::TokenIssued { token_id, .. }) => {
            set(&mut value, "session", json!({"uid": token_id.to_string()}));
            ("user", json!({"uid": grant, "type_id": 99, "type": "Grant"}))
        }
        _ => ("entity", resource(&grant)),
    };
    set(&mut value, name, about);
    value
}

fn resource(grant: &str) -> Value {
    json!({"uid": grant, "type": "Grant"})
}

fn set(value: &mut Value, name: &str, part: Value) {
    if let Some(object) = value.as_object_mut() {
        object.insert(name.to_owned(), part);
    }
}
