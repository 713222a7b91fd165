//! Server-Sent Events: writing an event, and reading a stream as the WHATWG parser does.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use crate::EventId;

/// Appends one event: its id, its envelope on one `data:` line, a blank line. No `event:` line,
/// so that line parsers and a browser's `onmessage` both see it.
///
/// The envelope must hold no line break; JSON escapes them.
///
/// ```
/// let mut out = bytes::BytesMut::new();
/// grantex_types::sse::write_event(&mut out, grantex_types::EventId::ZERO, b"{}");
/// assert_eq!(&out[..], b"id: evt_00000000000000000000000000\ndata: {}\n\n");
/// ```
pub fn write_event(out: &mut BytesMut, id: EventId, envelope: &[u8]) {
    debug_assert!(!envelope.iter().any(|b| matches!(b, b'\n' | b'\r')));
    write_id(out, id);
    out.put_slice(b"data: ");
    out.put_slice(envelope);
    out.put_slice(b"\n\n");
}

/// Appends a block that moves the reader's cursor and dispatches nothing.
pub fn write_cursor(out: &mut BytesMut, id: EventId) {
    write_id(out, id);
    out.put_u8(b'\n');
}

fn write_id(out: &mut BytesMut, id: EventId) {
    out.put_slice(b"id: ");
    id.put(out);
    out.put_u8(b'\n');
}

/// A comment: keeps the connection alive and carries no data. One line end, not two: a blank line
/// ends a block, and widely used readers dispatch an empty message for a block that had no data.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n";

/// A longer `retry:` counts as this: a day, which is longer than any useful delay and fits every
/// number type.
pub const LONGEST_RETRY: Duration = Duration::from_secs(86_400);

/// What a decoder found in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A block with data.
    Message {
        /// The `event:` field, empty if there was none.
        event: String,
        /// The `data:` lines, joined by line feeds.
        data: String,
    },
    /// The reader's cursor is now this (also before the message of the same block).
    Cursor(String),
    /// The server asks for this delay before a reconnection, at most [`LONGEST_RETRY`].
    Retry(Duration),
    /// A comment line: nothing but a sign of life.
    Comment,
}

/// The stream held a line or a message longer than the decoder's limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a server-sent event is longer than {limit} bytes")]
pub struct TooLong {
    limit: usize,
}

/// An incremental decoder: feed it the bytes as they come, cut anywhere.
///
/// As the WHATWG standard has it: one leading byte order mark is dropped; lines end in CRLF, LF
/// or CR; one space after the colon is dropped; an `id` with a NUL is ignored; `retry` is digits
/// only; an unfinished last block is never dispatched. Invalid UTF-8 is replaced, not refused.
///
/// ```
/// use grantex_types::sse::{Decoder, Item};
/// let mut decoder = Decoder::new(1 << 20);
/// let mut items = Vec::new();
/// decoder.feed(b"id: 7\ndata: a\nda", &mut items).unwrap();
/// decoder.feed(b"ta: b\n\n", &mut items).unwrap();
/// assert_eq!(items, [Item::Cursor("7".into()), Item::Message { event: String::new(), data: "a\nb".into() }]);
/// ```
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    line: Vec<u8>,
    /// The last byte was a CR: an LF right after it ends the same line.
    after_cr: bool,
    /// No byte of the first line was read yet, so that a byte order mark may come.
    at_start: bool,
    event: String,
    data: String,
    has_data: bool,
    id: Option<String>,
}

impl Decoder {
    /// A decoder that refuses lines and messages of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_cr: false,
            at_start: true,
            event: String::new(),
            data: String::new(),
            has_data: false,
            id: None,
        }
    }

    /// Reads `bytes` and appends what they completed to `items`.
    pub fn feed(&mut self, mut bytes: &[u8], items: &mut Vec<Item>) -> Result<(), TooLong> {
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            let (head, rest) = bytes.split_at(end);
            self.push(head)?;
            let line = std::mem::take(&mut self.line);
            self.line(&line, items)?;
            self.line = line;
            self.line.clear();
            bytes = match rest {
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.push(bytes)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len().saturating_add(bytes.len()) > self.limit {
            return Err(TooLong { limit: self.limit });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8], items: &mut Vec<Item>) -> Result<(), TooLong> {
        let line = if std::mem::take(&mut self.at_start) {
            line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            self.dispatch(items);
            return Ok(());
        }
        let (field, value) = match line.iter().position(|b| *b == b':') {
            Some(0) => {
                items.push(Item::Comment);
                return Ok(());
            }
            Some(colon) => {
                let (field, value) = line.split_at(colon);
                let value = value.get(1..).unwrap_or_default();
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match field {
            b"data" => {
                if self.data.len().saturating_add(value.len()) >= self.limit {
                    return Err(TooLong { limit: self.limit });
                }
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(&String::from_utf8_lossy(value));
            }
            b"event" => self.event = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => {
                self.id = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let millis = String::from_utf8_lossy(value).parse().unwrap_or(u64::MAX);
                items.push(Item::Retry(Duration::from_millis(millis).min(LONGEST_RETRY)));
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, items: &mut Vec<Item>) {
        if let Some(id) = self.id.take() {
            items.push(Item::Cursor(id));
        }
        let event = std::mem::take(&mut self.event);
        let data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.has_data) {
            items.push(Item::Message { event, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(chunks: &[&[u8]]) -> Vec<Item> {
        let mut decoder = Decoder::new(1 << 16);
        let mut items = Vec::new();
        for chunk in chunks {
            decoder.feed(chunk, &mut items).unwrap();
        }
        items
    }

    fn message(data: &str) -> Item {
        Item::Message { event: String::new(), data: data.into() }
    }

    #[test]
    fn reads_as_the_standard_says() {
        let cases: &[(&str, Vec<Item>)] = &[
            ("data: a\n\n", vec![message("a")]),
            ("\u{FEFF}data: a\r\n\r\n", vec![message("a")]),
            ("data:a\rdata:  b\r\r", vec![message("a\n b")]),
            ("data\n\n", vec![message("")]),
            ("data\ndata\n\n", vec![message("\n")]),
            (
                "event: x\ndata: a\n\ndata: b\n\n",
                vec![Item::Message { event: "x".into(), data: "a".into() }, message("b")],
            ),
            ("id: 1\n\n", vec![Item::Cursor("1".into())]),
            ("id: 1\0\ndata: a\n\n", vec![message("a")]),
            ("id\ndata: a\n\n", vec![Item::Cursor(String::new()), message("a")]),
            (": hello\n\n", vec![Item::Comment]),
            ("retry: 2000\nretry: 1s\nretry: -1\n", vec![Item::Retry(Duration::from_secs(2))]),
            ("data: unfinished\n", vec![]),
            ("unknown: a\ndata: b\n\n", vec![message("b")]),
        ];
        for (stream, items) in cases {
            assert_eq!(&decode(&[stream.as_bytes()]), items, "{stream:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_limit() {
        let mut decoder = Decoder::new(16);
        let mut items = Vec::new();
        assert!(decoder.feed(&[b'x'; 16], &mut items).is_ok());
        assert_eq!(decoder.feed(b"x", &mut items), Err(TooLong { limit: 16 }));
        let mut decoder = Decoder::new(16);
        let flood = b"data: abcd\n".repeat(8);
        assert!(decoder.feed(&flood, &mut items).is_err());
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_makes_no_difference(
            lines in prop::collection::vec("(data|id|event|retry|:|x)?:? ?[a-z0-9\u{FEFF}é]{0,6}", 0..12),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n"]), 12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let stream: Vec<u8> = lines.iter().zip(&ends).flat_map(|(l, e)| [l.as_bytes(),
                e.as_bytes()].concat()).collect();
            let whole = decode(&[&stream]);
            let mut cuts: Vec<usize> = cuts.iter().map(|i| i.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([stream.len()]) {
                chunks.push(&stream[from..cut]);
                from = cut;
            }
            prop_assert_eq!(decode(&chunks), whole);
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(decode(&bytes), decode(&[&stream]));
        }
    }
}
