//! CloudEvents 1.0: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>

use grantex::GrantexEvent;
use serde::Serialize;
use serde_json::value::RawValue;

/// `specversion`
pub(crate) const SPEC_VERSION: &str = "1.0";

#[derive(Serialize)]
pub(super) struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    r#type: String,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

/// `type`: prefixed with a reverse domain name, as the specification advises.
pub(crate) fn type_name(event: &GrantexEvent) -> String {
    format!("dev.grantex.{}", event.r#type)
}

pub(super) fn event<'a>(event: &'a GrantexEvent, source: &'a str) -> CloudEvent<'a> {
    CloudEvent {
        specversion: SPEC_VERSION,
        id: event.id.to_string(),
        source,
        r#type: type_name(event),
        time: event.timestamp.to_string(),
        subject: super::grant_id(event),
        datacontenttype: "application/json",
        data: super::data(event),
    }
}
