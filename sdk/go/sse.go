package grantex

import (
	"bytes"
	"errors"
	"strconv"
)

// longestRetryMillis: a longer retry counts as this: a day.
const longestRetryMillis = 86_400_000

var errTooLong = errors.New("a server-sent event is longer than the limit")

// sseItem is an item of a stream: exactly one of its parts is set.
type sseItem struct {
	// data of a block, and its event field.
	data  []byte
	event string
	// cursor is what the reader's cursor is now (also before the message of the same block).
	cursor *string
	// retry is the delay before a reconnection that the server asks for, in milliseconds.
	retry *uint64
	// comment is a comment line, which only shows that the connection works.
	comment bool
}

// sseDecoder reads server-sent events from bytes that may be cut anywhere.
//
// By the WHATWG standard: one leading byte order mark is dropped; lines end in CRLF, LF or
// CR; one space after the colon is dropped; an id with a NUL is ignored; retry is digits only; an
// unfinished last block is never dispatched.
type sseDecoder struct {
	// limit of a line and of a message, in bytes.
	limit int
	line  []byte
	// afterCR: the last byte was a CR, so that an LF right after it ends the same line.
	afterCR bool
	started bool
	event   string
	data    []byte
	hasData bool
	id      *string
}

// feed appends to items what chunk completed. With errTooLong, the items before it count.
func (d *sseDecoder) feed(chunk []byte, items []sseItem) ([]sseItem, error) {
	if d.afterCR && len(chunk) > 0 {
		d.afterCR = false
		chunk = bytes.TrimPrefix(chunk, []byte("\n"))
	}
	hasCR := bytes.IndexByte(chunk, '\r') >= 0
	for {
		end := bytes.IndexByte(chunk, '\n')
		if hasCR {
			end = bytes.IndexAny(chunk, "\r\n")
		}
		if end < 0 {
			break
		}
		line := chunk[:end]
		if len(d.line)+len(line) > d.limit {
			return items, errTooLong
		}
		if len(d.line) > 0 {
			d.line = append(d.line, line...)
			line = d.line
		}
		var err error
		if items, err = d.read(line, items); err != nil {
			return items, err
		}
		d.line = d.line[:0]
		isCR := chunk[end] == '\r'
		chunk = chunk[end+1:]
		if isCR {
			d.afterCR = len(chunk) == 0
			chunk = bytes.TrimPrefix(chunk, []byte("\n"))
		}
	}
	if len(d.line)+len(chunk) > d.limit {
		return items, errTooLong
	}
	d.line = append(d.line, chunk...)
	return items, nil
}

func (d *sseDecoder) read(line []byte, items []sseItem) ([]sseItem, error) {
	if !d.started {
		d.started = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	if len(line) == 0 {
		return d.dispatch(items), nil
	}
	field, value, _ := bytes.Cut(line, []byte(":"))
	if len(field) == 0 {
		return append(items, sseItem{comment: true}), nil
	}
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(field) {
	case "data":
		if len(d.data)+len(value) >= d.limit {
			return items, errTooLong
		}
		if d.hasData {
			d.data = append(d.data, '\n')
		}
		d.data = append(d.data, value...)
		d.hasData = true
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			id := string(bytes.ToValidUTF8(value, []byte("\uFFFD")))
			d.id = &id
		}
	case "event":
		d.event = string(bytes.ToValidUTF8(value, []byte("\uFFFD")))
	case "retry":
		if ms, ok := digits(value); ok {
			items = append(items, sseItem{retry: &ms})
		}
	}
	return items, nil
}

// digits reads a number of digits only, at most longestRetryMillis.
func digits(text []byte) (uint64, bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	number, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		number = longestRetryMillis
	}
	return min(number, longestRetryMillis), len(text) > 0
}

func (d *sseDecoder) dispatch(items []sseItem) []sseItem {
	if d.id != nil {
		items = append(items, sseItem{cursor: d.id})
	}
	if d.hasData {
		// Bytes of its own: the item outlives the next block.
		data := append(make([]byte, 0, len(d.data)), d.data...)
		items = append(items, sseItem{data: data, event: d.event})
	}
	d.id, d.event, d.data, d.hasData = nil, "", d.data[:0], false
	return items
}
