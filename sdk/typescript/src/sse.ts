/** An item of a stream. */
export type Item =
  | { kind: 'message'; event: string; data: string }
  | { kind: 'cursor'; id: string }
  | { kind: 'retry'; ms: number }
  | { kind: 'comment' };

/** The stream has a line or a message that is longer than the decoder's limit. */
export class TooLong extends Error {}

const CR = 13;
/** A longer `retry:` counts as this: a day. */
const LONGEST_RETRY_MS = 86_400_000;

/**
 * An incremental decoder of server-sent events. The bytes may be cut anywhere.
 *
 * By the WHATWG standard: one leading byte order mark is dropped; lines end in CRLF, LF or
 * CR; one space after the colon is dropped; an `id` with a NUL is ignored; `retry` is digits only;
 * an unfinished last block is never dispatched; invalid UTF-8 is replaced.
 */
export class Decoder {
  readonly #limit: number;
  // It also drops the byte order mark.
  readonly #text = new TextDecoder();
  /** The beginning of a line whose end has not arrived. */
  #line = '';
  /** The last character was a CR: an LF right after it ends the same line. */
  #afterCr = false;
  #event = '';
  #data: string | undefined;
  #id: string | undefined;

  /** Refuses lines and messages of more than `limit` characters. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Appends to `items` what `bytes` completed. Throws {@link TooLong}; items before it count. */
  feed(bytes: Uint8Array, items: Item[]): void {
    const text = this.#text.decode(bytes, { stream: true });
    let start = 0;
    if (this.#afterCr && text.length > 0) {
      this.#afterCr = false;
      if (text.startsWith('\n')) start = 1;
    }
    let lf = text.indexOf('\n', start);
    let cr = text.indexOf('\r', start);
    while (lf >= 0 || cr >= 0) {
      const end = cr < 0 || (lf >= 0 && lf < cr) ? lf : cr;
      this.#take(text.slice(start, end));
      const line = this.#line;
      this.#line = '';
      this.#read(line, items);
      start = end + 1;
      if (text.charCodeAt(end) === CR) {
        if (start === text.length) this.#afterCr = true;
        else if (lf === start) start += 1;
        cr = text.indexOf('\r', start);
      }
      if (lf >= 0 && lf < start) lf = text.indexOf('\n', start);
    }
    this.#take(text.slice(start));
  }

  #take(text: string): void {
    if (this.#line.length + text.length > this.#limit) throw this.#tooLong();
    this.#line += text;
  }

  #tooLong(): TooLong {
    return new TooLong(`a server-sent event is longer than ${this.#limit} characters`);
  }

  #read(line: string, items: Item[]): void {
    if (line === '') {
      this.#dispatch(items);
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) {
      items.push({ kind: 'comment' });
      return;
    }
    const field = colon < 0 ? line : line.slice(0, colon);
    const value =
      colon < 0 ? '' : line.slice(line.charAt(colon + 1) === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') {
      if ((this.#data?.length ?? 0) + value.length >= this.#limit) throw this.#tooLong();
      this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
    } else if (field === 'id') {
      if (!value.includes('\0')) this.#id = value;
    } else if (field === 'event') {
      this.#event = value;
    } else if (field === 'retry' && /^[0-9]+$/.test(value)) {
      items.push({ kind: 'retry', ms: Math.min(Number(value), LONGEST_RETRY_MS) });
    }
  }

  #dispatch(items: Item[]): void {
    if (this.#id !== undefined) items.push({ kind: 'cursor', id: this.#id });
    if (this.#data !== undefined)
      items.push({ kind: 'message', event: this.#event, data: this.#data });
    this.#id = undefined;
    this.#data = undefined;
    this.#event = '';
  }
}
