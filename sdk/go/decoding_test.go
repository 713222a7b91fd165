package grantex

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// vectors reads a file of the conformance cases.
func vectors(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// decode is what a decoder makes of the chunks, and whether it met its limit.
func decode(limit int, chunks ...[]byte) (plain []any, tooLong bool) {
	decoder := &sseDecoder{limit: limit}
	var items []sseItem
	for _, chunk := range chunks {
		var err error
		if items, err = decoder.feed(chunk, items); err != nil {
			tooLong = true
			break
		}
	}
	plain = []any{}
	for _, item := range items {
		switch {
		case item.cursor != nil:
			plain = append(plain, map[string]any{"cursor": *item.cursor})
		case item.retry != nil:
			plain = append(plain, map[string]any{"retry": float64(*item.retry)})
		case item.comment:
			plain = append(plain, "comment")
		default:
			message := map[string]any{"event": item.event, "data": string(item.data)}
			plain = append(plain, map[string]any{"message": message})
		}
	}
	return plain, tooLong
}

func TestAnEventEncodesToItsEnvelope(t *testing.T) {
	const text = `{"id":"evt_1","type":"t","createdAt":"2026-03-01T12:00:00.000Z","data":{"n":9007199254740993}}`
	event, err := parseEvent([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	rebuilt := event
	rebuilt.JSON = nil
	for _, one := range []any{event, &event, rebuilt} {
		if encoded, err := json.Marshal(one); err != nil || string(encoded) != text {
			t.Errorf("%s, %v", encoded, err)
		}
	}
	var read []GrantexEvent
	if err := json.Unmarshal([]byte("["+text+","+text+"]"), &read); err != nil {
		t.Fatal(err)
	}
	if len(read) != 2 || !reflect.DeepEqual(read[0], event) {
		t.Errorf("%+v", read)
	}
	if err := json.Unmarshal([]byte(`{"type":"t"}`), &event); !strings.Contains(err.Error(), "has no id") {
		t.Error(err)
	}
}

func TestEveryStreamReadsTheSameWhereverItIsCut(t *testing.T) {
	var file struct {
		Cases []struct {
			Name, Stream     string
			Items            []any
			Repeat, Limit    int
			Sampled, TooLong bool
		}
	}
	vectors(t, "sse.json", &file)
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			fill := func(text string) string {
				if c.Repeat == 0 {
					return text
				}
				return strings.ReplaceAll(text, "{x}", strings.Repeat("x", c.Repeat))
			}
			stream := []byte(fill(c.Stream))
			for _, item := range c.Items {
				if fields, ok := item.(map[string]any); ok && fields["message"] != nil {
					message := fields["message"].(map[string]any)
					message["data"] = fill(message["data"].(string))
				}
			}
			limit, step := c.Limit, 1
			if limit == 0 {
				limit = 1 << 20
			}
			if c.Sampled {
				step = len(stream) / 16
			}
			check := func(how string, chunks ...[]byte) {
				items, tooLong := decode(limit, chunks...)
				if tooLong != c.TooLong || !reflect.DeepEqual(items, c.Items) {
					t.Fatalf("%s: %v %v, not %v %v", how, items, tooLong, c.Items, c.TooLong)
				}
			}
			check("whole", stream)
			var single [][]byte
			for i := range stream {
				single = append(single, stream[i:i+1])
			}
			check("byte by byte", single...)
			for cut := 0; cut <= len(stream); cut += step {
				check("cut", bytes.Clone(stream[:cut]), bytes.Clone(stream[cut:]))
			}
		})
	}
}

func TestDelaysAreExponentialWithFullJitter(t *testing.T) {
	var file struct {
		Cases []struct {
			Name                            string
			Attempt, BaseMs, MaxMs, DelayMs int
			Random                          float64
		}
	}
	vectors(t, "backoff.json", &file)
	for _, c := range file.Cases {
		ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
		if got := backoff(c.Attempt, ms(c.BaseMs), ms(c.MaxMs), c.Random); got != ms(c.DelayMs) {
			t.Errorf("%s: %v, not %v", c.Name, got, ms(c.DelayMs))
		}
	}
}
