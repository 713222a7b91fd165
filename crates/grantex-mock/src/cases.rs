//! The cases' format.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The files whose cases are played over HTTP, in the order in which they are listed.
pub const FILES: [&str; 7] =
    ["calls", "errors", "retries", "pagination", "amounts", "verification", "streams"];

/// One file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Event envelopes by name, for the `event` steps and the `events` outcomes.
    #[serde(default)]
    events: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

/// One case: a call with the SDK, what it must send, what it is answered, what must come of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Case {
    /// `file/name` once loaded; unique.
    pub name: String,
    /// Options of the client and of the stream.
    #[serde(default)]
    pub client: Map<String, Value>,
    /// The operation, such as `grants.list`.
    pub call: String,
    /// Its arguments, with the API's own field names.
    #[serde(default)]
    pub args: Map<String, Value>,
    /// What the consumer of a stream does.
    #[serde(default)]
    pub consumer: Map<String, Value>,
    /// What must be asked, in this order, and the answers.
    #[serde(skip_serializing)]
    pub exchanges: Vec<Exchange>,
    /// What the SDK must make of it. Event names have become the events themselves.
    pub outcome: Map<String, Value>,
    /// How many sessions cover the case, numbered from 0.
    #[serde(skip_deserializing)]
    pub variants: usize,
}

/// A request and its answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// What must be asked.
    pub expect: Expect,
    /// What is answered.
    pub answer: Answer,
    /// How often in a row this exchange may happen; once unless given.
    #[serde(default = "once")]
    pub times: usize,
}

fn once() -> usize {
    1
}

/// A request as it must come.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Expect {
    /// The HTTP method.
    pub method: String,
    /// The path below the base URL, as it is sent.
    pub path: String,
    /// The query's parameters, decoded; nothing else may be there.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers: a text must be equal, `null` absent, `*` anything, `=` what the request before had.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    /// The JSON body, equal as JSON; without it there must be none.
    #[serde(default)]
    pub body: Option<Value>,
    /// Milliseconds that must have passed since the answer before.
    #[serde(default)]
    pub not_before_ms: u64,
}

/// An answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Answer {
    /// The status; 200 unless given.
    pub status: Option<u16>,
    /// Headers; `retry-after: "+2s"` becomes a date two seconds from now.
    pub headers: BTreeMap<String, String>,
    /// A JSON body.
    pub json: Option<Value>,
    /// A body that is not JSON.
    pub text: Option<String>,
    /// The steps of an event stream.
    pub stream: Option<Vec<Step>>,
    /// A log that is served as the service would, cut once after as many bytes as the variant's
    /// number.
    pub log: Option<Vec<String>>,
    /// The connection is closed without an answer.
    pub drop: bool,
    /// No answer ever comes.
    pub stall: bool,
}

/// One step of a stream.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Step {
    /// These bytes.
    Send(String),
    /// The event of this name, as the service frames it.
    Event(String),
    /// Nothing for so many milliseconds.
    Wait(u64),
    /// Comments, `[how many, milliseconds before each]`.
    KeepAlives(u64, u64),
    /// The connection breaks.
    Cut,
    /// Nothing more, and the client must be the one that closes.
    Hold,
    /// Made-up events, more than the client may take in while its consumer holds it back: it is
    /// wrong if so many bytes can be written.
    Flood(usize),
}

/// The cases of `folder`, with what their events are.
pub fn load(folder: &Path) -> Result<(Vec<Case>, BTreeMap<String, Value>), String> {
    let mut cases = Vec::new();
    let mut events = BTreeMap::new();
    for file in FILES {
        let path = folder.join(file).with_extension("json");
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let read: File =
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        for mut case in read.cases {
            case.name = format!("{file}/{}", case.name);
            case.variants = variants(&case, &read.events)?;
            name_the_events(&mut case, &read.events)?;
            cases.push(case);
        }
        events.extend(read.events);
    }
    let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    match names.iter().zip(names.iter().skip(1)).find(|(a, b)| a == b) {
        Some((name, _)) => Err(format!("two cases are called {name}")),
        None => Ok((cases, events)),
    }
}

/// One for each byte at which a log can be cut, the end included.
fn variants(case: &Case, events: &BTreeMap<String, Value>) -> Result<usize, String> {
    let Some(names) = case.exchanges.iter().find_map(|exchange| exchange.answer.log.as_ref())
    else {
        return Ok(1);
    };
    let frames: Result<Vec<String>, String> =
        names.iter().map(|name| frame(name, events)).collect();
    Ok(LOG_OPENING.len().saturating_add(frames?.concat().len()).saturating_add(1))
}

fn name_the_events(case: &mut Case, events: &BTreeMap<String, Value>) -> Result<(), String> {
    let Some(Value::Array(names)) = case.outcome.get_mut("events") else { return Ok(()) };
    for name in names {
        let event = name.as_str().and_then(|name| events.get(name));
        *name = event.ok_or_else(|| format!("{}: no event is called {name}", case.name))?.clone();
    }
    Ok(())
}

/// How a log's stream begins.
pub(crate) const LOG_OPENING: &str = "retry: 1\nid: evt_00000000000000000000000000\n\n";

/// An event as the service frames it.
pub(crate) fn frame(name: &str, events: &BTreeMap<String, Value>) -> Result<String, String> {
    let event = events.get(name).ok_or_else(|| format!("no event is called {name}"))?;
    let id = event.get("id").and_then(Value::as_str).unwrap_or_default();
    Ok(format!("id: {id}\ndata: {event}\n\n"))
}
