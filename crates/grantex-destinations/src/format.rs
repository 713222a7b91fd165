//! How an event is written for a destination.

pub(crate) mod cloudevents;
mod ocsf;

use grantex::{GrantexEvent, Payload};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Which format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FormatKind {
    /// The envelope as the service sends it.
    #[default]
    Native,
    /// CloudEvents 1.0 in its JSON form.
    CloudEvents,
    /// The Open Cybersecurity Schema Framework, 1.5.
    Ocsf,
}

/// A format with what it needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Which one.
    pub kind: FormatKind,
    /// What names the log: the service's base URL. CloudEvents carry it as `source`.
    pub source: String,
}

impl Format {
    /// The service's own format.
    pub fn native() -> Self {
        Self { kind: FormatKind::Native, source: String::new() }
    }

    /// Appends `event` to `out`: one JSON object on one line, without a line end. The same event
    /// gives the same bytes.
    ///
    /// ```
    /// use grantex_destinations::Format;
    /// let json = r#"{"id":"evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA","type":"grant.revoked","createdAt":"2026-03-01T12:00:00.000Z","data":{"grantId":"grnt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA","revokedBy":"principal"}}"#;
    /// let event = grantex::GrantexEvent::from_json(json)?;
    /// let mut out = Vec::new();
    /// Format::native().encode(&event, &mut out);
    /// assert_eq!(out, json.as_bytes());
    /// # Ok::<(), grantex::Error>(())
    /// ```
    pub fn encode(&self, event: &GrantexEvent, out: &mut Vec<u8>) {
        match self.kind {
            FormatKind::Native => out.extend_from_slice(event.json().as_bytes()),
            FormatKind::CloudEvents => append(out, &cloudevents::event(event, &self.source)),
            FormatKind::Ocsf => append(out, &ocsf::event(event)),
        }
    }
}

fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    let before = out.len();
    // Neither fails: the values are trees of strings and numbers, and memory takes every write.
    if let Err(error) = serde_json::to_writer(&mut *out, value) {
        tracing::error!(%error, "an event could not be encoded");
        out.truncate(before);
    }
}

/// The payload's JSON, as the service sent it.
pub(crate) fn data(event: &GrantexEvent) -> &RawValue {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    // It was parsed as an envelope when it came.
    serde_json::from_str(event.json())
        .map_or(RawValue::NULL, |envelope: Envelope<'_>| envelope.data)
}

/// The grant that an event is about; `None` for a type of event that this version does not know and
/// that names none.
pub fn grant_id(event: &GrantexEvent) -> Option<String> {
    #[derive(Deserialize)]
    struct Data {
        #[serde(rename = "grantId")]
        grant_id: String,
    }
    match &event.data {
        Payload::Known(data) => Some(data.grant_id().to_string()),
        Payload::Unknown(json) => {
            serde_json::from_str(json.get()).ok().map(|data: Data| data.grant_id)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01JNXJ5QH2M8Z4T6V7W9X0Y1ZA";

    fn event(kind: &str, data: &str) -> GrantexEvent {
        let json = format!(
            r#"{{"id":"evt_{ID}","type":"{kind}","createdAt":"2026-03-01T12:00:00.250Z","data":{data}}}"#
        );
        GrantexEvent::from_json(json).unwrap()
    }

    fn encoded(kind: FormatKind, event: &GrantexEvent) -> serde_json::Value {
        let mut out = Vec::new();
        Format { kind, source: "https://auth.example.com".into() }.encode(event, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_cloud_event_has_the_required_attributes_and_the_grant_as_its_subject() {
        let event = event(
            "grant.revoked",
            &format!(r#"{{"grantId":"grnt_{ID}","revokedBy":"principal"}}"#),
        );
        let expected = serde_json::json!({
            "specversion": "1.0", "id": format!("evt_{ID}"), "source": "https://auth.example.com",
            "type": "dev.grantex.grant.revoked", "time": "2026-03-01T12:00:00.250Z",
            "subject": format!("grnt_{ID}"), "datacontenttype": "application/json",
            "data": {"grantId": format!("grnt_{ID}"), "revokedBy": "principal"},
        });
        assert_eq!(encoded(FormatKind::CloudEvents, &event), expected);
    }

    #[test]
    fn every_type_has_its_ocsf_class_and_the_whole_event_stays_readable() {
        let grant = format!(r#""grantId":"grnt_{ID}""#);
        let created =
            format!(r#"{{{grant},"agentId":"ag_{ID}","principalId":"user-123","scopes":["a:b"]}}"#);
        let issued = format!(r#"{{{grant},"tokenId":"tok_{ID}","method":"exchange"}}"#);
        let threshold = format!(r#"{{{grant},"percentage":80,"remaining":1.5,"initial":10}}"#);
        let cases = [
            ("grant.created", created, 300_501, 1),
            ("grant.revoked", format!(r#"{{{grant},"revokedBy":"developer"}}"#), 300_404, 1),
            ("token.issued", issued, 300_401, 1),
            ("budget.threshold", threshold, 300_403, 2),
            ("budget.exhausted", format!(r#"{{{grant},"initial":10}}"#), 300_403, 3),
            ("grant.paused", format!("{{{grant}}}"), 300_499, 1),
        ];
        for (kind, data, type_uid, severity) in cases {
            let event = event(kind, &data);
            let ocsf = encoded(FormatKind::Ocsf, &event);
            assert_eq!(
                (ocsf["type_uid"].as_u64(), ocsf["severity_id"].as_u64()),
                (Some(type_uid), Some(severity)),
                "{kind}"
            );
            assert_eq!(ocsf["time"], 1_772_366_400_250_u64);
            assert_eq!(ocsf["metadata"]["uid"], format!("evt_{ID}"));
            assert_eq!(ocsf["metadata"]["event_code"], kind);
            assert_eq!(ocsf["metadata"]["correlation_uid"], format!("grnt_{ID}"));
            assert_eq!(ocsf["raw_data"], event.json());
        }
    }

    #[test]
    fn ocsf_names_who_acted_and_on_what() {
        let grant = format!(r#""grantId":"grnt_{ID}""#);
        let created =
            format!(r#"{{{grant},"agentId":"ag_{ID}","principalId":"user-123","scopes":["a:b"]}}"#);
        let created = encoded(FormatKind::Ocsf, &event("grant.created", &created));
        assert_eq!(created["user"]["uid"], format!("ag_{ID}"), "who gets the privileges");
        assert_eq!(created["actor"]["user"]["uid"], "user-123", "who gives them");
        assert_eq!(created["privileges"], serde_json::json!(["a:b"]));
        for (by, type_id) in [("principal", 1), ("developer", 2), ("system", 3)] {
            let revoked = event("grant.revoked", &format!(r#"{{{grant},"revokedBy":"{by}"}}"#));
            let revoked = encoded(FormatKind::Ocsf, &revoked);
            assert_eq!(revoked["actor"]["user"]["name"], by);
            assert_eq!(revoked["actor"]["user"]["type_id"], type_id);
            assert_eq!(revoked["entity"]["uid"], format!("grnt_{ID}"));
        }
        let issued = format!(r#"{{{grant},"tokenId":"tok_{ID}","method":"exchange"}}"#);
        let issued = encoded(FormatKind::Ocsf, &event("token.issued", &issued));
        assert_eq!(issued["entity"]["uid"], format!("tok_{ID}"));
        assert_eq!(issued["entity"]["data"]["method"], "exchange");
    }

    #[test]
    fn an_event_of_an_unknown_type_is_still_about_its_grant() {
        assert_eq!(
            grant_id(&event("grant.paused", r#"{"grantId":"grnt_x"}"#)).as_deref(),
            Some("grnt_x")
        );
        assert_eq!(grant_id(&event("key.made", "{}")), None);
    }
}
