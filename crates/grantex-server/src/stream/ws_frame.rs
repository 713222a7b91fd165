//! Frames of the WebSocket protocol (RFC 6455), as a server writes and reads them.

use axum::extract::ws::close_code;
use bytes::{BufMut, Bytes, BytesMut};

/// The longest message a client may send: a filter is much shorter.
const LONGEST_MESSAGE: usize = 16 << 10;
/// The longest payload of a control frame.
const LONGEST_CONTROL: usize = 125;

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

mod opcode {
    pub(super) const CONTINUATION: u8 = 0;
    pub(super) const TEXT: u8 = 1;
    pub(super) const BINARY: u8 = 2;
    pub(super) const CLOSE: u8 = 8;
    pub(super) const PING: u8 = 9;
    pub(super) const PONG: u8 = 10;
}

/// A ping without a payload.
pub(super) const PING: &[u8] = &[FINAL | opcode::PING, 0];

/// Appends a text message.
pub(super) fn write_text(out: &mut impl BufMut, text: &[u8]) {
    write(out, opcode::TEXT, text);
}

fn write(out: &mut impl BufMut, opcode: u8, payload: &[u8]) {
    out.put_u8(FINAL | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length), _) if length < 126 => out.put_u8(length),
        (_, Ok(length)) => {
            out.put_u8(126);
            out.put_u16(length);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(payload.len() as u64);
        }
    }
    out.put_slice(payload);
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    write(&mut frame, opcode::PONG, payload);
    frame.freeze()
}

/// A close frame; the reason is cut to what fits.
pub(super) fn close(code: u16, reason: &str) -> Bytes {
    let mut payload = code.to_be_bytes().to_vec();
    let mut length = reason.len().min(LONGEST_CONTROL - 2);
    while !reason.is_char_boundary(length) {
        length = length.saturating_sub(1);
    }
    payload.extend_from_slice(reason.get(..length).unwrap_or_default().as_bytes());
    let mut frame = BytesMut::new();
    write(&mut frame, opcode::CLOSE, &payload);
    frame.freeze()
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    /// With the code to answer with.
    Close(u16),
    /// A violation of the protocol: the code and the reason to close with.
    Violation(u16, &'static str),
}

/// Reads a client's frames from bytes that are split anywhere. Holds no memory between messages.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    bytes: Vec<u8>,
    /// The parts of a message that have arrived, and whether it is text.
    message: Option<(bool, Vec<u8>)>,
}

struct Frame {
    is_final: bool,
    opcode: u8,
    payload: Vec<u8>,
}

impl FrameReader {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message that has arrived completely. Not to be called after a violation or a close.
    pub(super) fn next(&mut self) -> Option<Message> {
        loop {
            let frame = match self.frame() {
                Ok(frame) => frame?,
                Err(violation) => return Some(violation),
            };
            match self.interpret(frame) {
                Ok(None) => {}
                Ok(message) => return message,
                Err(violation) => return Some(violation),
            }
        }
    }

    /// Takes a whole frame off the bytes, if there is one.
    fn frame(&mut self) -> Result<Option<Frame>, Message> {
        let violation = |reason| Err(Message::Violation(close_code::PROTOCOL, reason));
        let [first, second, rest @ ..] = self.bytes.as_slice() else { return Ok(None) };
        let (is_final, opcode) = (first & FINAL != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return violation("the frame uses an extension that was not negotiated");
        }
        if second & MASKED == 0 {
            return violation("a client must mask its frames");
        }
        let (length, rest) = match second & 0x7f {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (usize::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => {
                    (usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX), rest)
                }
                None => return Ok(None),
            },
            length => (usize::from(length), rest),
        };
        let is_control = opcode >= opcode::CLOSE;
        if is_control && (!is_final || length > LONGEST_CONTROL) {
            return violation("a control frame must not be fragmented, nor longer than 125 bytes");
        }
        if length > LONGEST_MESSAGE {
            return Err(Message::Violation(close_code::SIZE, "the message must be at most 16 KiB"));
        }
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let Some((payload, after)) = rest.split_at_checked(length) else { return Ok(None) };
        let payload =
            payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        let frame = Frame { is_final, opcode, payload };
        self.bytes = after.to_vec();
        Ok(Some(frame))
    }

    fn interpret(&mut self, frame: Frame) -> Result<Option<Message>, Message> {
        let violation = |reason| Err(Message::Violation(close_code::PROTOCOL, reason));
        match frame.opcode {
            opcode::PING => return Ok(Some(Message::Ping(frame.payload))),
            opcode::PONG => return Ok(Some(Message::Pong)),
            opcode::CLOSE => {
                let Some((code, reason)) = frame.payload.split_first_chunk() else {
                    // A close without a code is answered with the normal one.
                    if frame.payload.is_empty() {
                        return Ok(Some(Message::Close(close_code::NORMAL)));
                    }
                    return violation("a close code must have two bytes");
                };
                if std::str::from_utf8(reason).is_err() {
                    return Err(Message::Violation(
                        close_code::INVALID,
                        "the close reason must be UTF-8",
                    ));
                }
                return match u16::from_be_bytes(*code) {
                    code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => {
                        Ok(Some(Message::Close(code)))
                    }
                    _ => violation("the close code is not valid"),
                };
            }
            opcode::TEXT | opcode::BINARY if self.message.is_some() => {
                return violation("a message began before the previous one ended");
            }
            opcode::TEXT | opcode::BINARY => {
                self.message = Some((frame.opcode == opcode::TEXT, frame.payload));
            }
            opcode::CONTINUATION => {
                let Some((_, message)) = &mut self.message else {
                    return violation("a continuation frame came without a message");
                };
                if message.len().saturating_add(frame.payload.len()) > LONGEST_MESSAGE {
                    return Err(Message::Violation(
                        close_code::SIZE,
                        "the message must be at most 16 KiB",
                    ));
                }
                message.extend_from_slice(&frame.payload);
            }
            _ => return violation("the opcode is unknown"),
        }
        if !frame.is_final {
            return Ok(None);
        }
        match self.message.take() {
            Some((true, text)) => match String::from_utf8(text) {
                Ok(text) => Ok(Some(Message::Text(text))),
                Err(_) => Err(Message::Violation(close_code::INVALID, "text must be UTF-8")),
            },
            Some((false, _)) => Ok(Some(Message::Binary)),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a client sends it.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        write(&mut frame, 0, payload);
        frame[0] = first;
        frame[1] |= MASKED;
        let head = frame.len().checked_sub(payload.len()).unwrap();
        let mask = [1, 2, 3, 4];
        for (index, byte) in frame[head..].iter_mut().enumerate() {
            *byte ^= mask[index % 4];
        }
        frame.splice(head..head, mask);
        frame
    }

    /// The messages in these bytes, read in steps of `step`.
    fn read(bytes: &[u8], step: usize) -> Vec<Message> {
        let (mut reader, mut read) = (FrameReader::default(), Vec::new());
        for part in bytes.chunks(step) {
            reader.feed(part);
            while let Some(next) = reader.next() {
                let is_end = matches!(next, Message::Violation(..) | Message::Close(_));
                read.push(next);
                if is_end {
                    return read;
                }
            }
        }
        assert!(reader.bytes.is_empty() && reader.bytes.capacity() == 0);
        read
    }

    #[test]
    fn messages_are_read_wherever_they_are_split() {
        let long = "x".repeat(300);
        let bytes = [
            masked(0x81, b"hello"),
            masked(0x01, b"a mess"),
            masked(0x89, b"in between"),
            masked(0x00, b""),
            masked(0x80, "age, \u{e4}".as_bytes()),
            masked(0x82, b"bin"),
            masked(0x8a, b""),
            masked(0x81, long.as_bytes()),
            masked(0x88, &1001_u16.to_be_bytes()),
        ]
        .concat();
        let expected = [
            Message::Text("hello".into()),
            Message::Ping(b"in between".to_vec()),
            Message::Text("a message, \u{e4}".into()),
            Message::Binary,
            Message::Pong,
            Message::Text(long),
            Message::Close(1001),
        ];
        for step in [1, 2, 5, 64, bytes.len()] {
            assert_eq!(read(&bytes, step), expected, "in steps of {step}");
        }
        assert_eq!(read(&masked(0x88, b""), 1), [Message::Close(1000)]);
    }

    #[test]
    fn a_violation_is_answered_with_its_code() {
        let unmasked = {
            let mut frame = BytesMut::new();
            write_text(&mut frame, b"x");
            frame.to_vec()
        };
        for (bytes, code) in [
            (unmasked, 1002),
            (masked(0xc1, b"x"), 1002),
            (masked(0x83, b"x"), 1002),
            (masked(0x80, b"x"), 1002),
            (masked(0x09, b"x"), 1002),
            (masked(0x89, &[0; 126]), 1002),
            ([masked(0x01, b"x"), masked(0x81, b"y")].concat(), 1002),
            (masked(0x88, &[3]), 1002),
            (masked(0x88, &1005_u16.to_be_bytes()), 1002),
            (masked(0x88, &[3, 0xe8, 0xff]), 1007),
            (masked(0x81, &[0xff]), 1007),
            (masked(0x81, &vec![b'x'; LONGEST_MESSAGE + 1]), 1009),
            ([masked(0x01, &vec![b'x'; LONGEST_MESSAGE]), masked(0x80, b"y")].concat(), 1009),
            (vec![0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1009),
        ] {
            for step in [1, bytes.len()] {
                match read(&bytes, step).as_slice() {
                    [Message::Violation(sent, _)] => assert_eq!(*sent, code, "{bytes:?}"),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_as_the_protocol_has_it() {
        for (length, head) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xff, 0xff]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut frame = BytesMut::new();
            write_text(&mut frame, &vec![b'x'; length]);
            assert_eq!((&frame[..head.len()], frame.len()), (&head[..], head.len() + length));
        }
        assert_eq!(&close(1000, "bye")[..], b"\x88\x05\x03\xe8bye");
        assert_eq!(close(1000, &"\u{e4}".repeat(100)).len(), 2 + 2 + 122);
        assert_eq!(&pong(b"x")[..], b"\x8a\x01x");
    }
}
