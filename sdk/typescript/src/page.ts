import { ProtocolError } from './errors.js';

/** One page of a list. */
export interface Page<T> {
  /** What is on the page. */
  items: T[];
  /** Where the next page starts (`after`); `null` on the last page. */
  nextCursor: string | null;
  /** How many there are in all, where the service counts them. */
  total?: number;
}

/** Which page of a list. */
export interface ListParams {
  /** How many items a page holds at most; the service's own number unless given. */
  limit?: number | undefined;
  /** Only what comes after this item: the `nextCursor` of the page before. */
  after?: string | undefined;
}

/**
 * A list that is asked for when it is used: awaited it is one page, iterated it is every item, page
 * by page.
 *
 * @example
 * ```ts
 * const page = await grantex.grants.list({ limit: 20 });
 * for await (const grant of grantex.grants.list({ principalId: 'user-123' })) console.log(grant.grantId);
 * ```
 */
export class List<T> implements PromiseLike<Page<T>>, AsyncIterable<T> {
  readonly #fetch: (after: string | undefined) => Promise<Page<T>>;
  readonly #after: string | undefined;
  #first: Promise<Page<T>> | undefined;

  /** @internal */
  constructor(after: string | undefined, fetch: (after: string | undefined) => Promise<Page<T>>) {
    this.#after = after;
    this.#fetch = async (place) => {
      const page = await fetch(place);
      if (Array.isArray(page.items)) return page;
      throw new ProtocolError('the answer is no page of a list: is the base URL right?');
    };
  }

  // biome-ignore lint/suspicious/noThenProperty: awaiting a list gives its first page
  then<A = Page<T>, B = never>(
    onPage?: ((page: Page<T>) => A | PromiseLike<A>) | null,
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#first ??= this.#fetch(this.#after);
    return this.#first.then(onPage, onError);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (let after: string | null | undefined = this.#after; after !== null; ) {
      const page: Page<T> = await this.#fetch(after);
      yield* page.items;
      after = page.nextCursor;
    }
  }
}
