import { ProtocolError } from './errors.js';

/** One page of a list. */
export interface Page<T> {
  /** The items of the page. */
  items: T[];
  /** Where the next page starts (`after`); `null` on the last page. */
  nextCursor: string | null;
  /** The number of all items, where the service counts them. */
  total?: number;
}

/** A page of a list. */
export interface ListParams {
  /** The most items of a page; the service's default unless given. */
  limit?: number | undefined;
  /** Only items after this one: the `nextCursor` of the page before. */
  after?: string | undefined;
}

/**
 * A list that is requested when it is used: `await` gives one page, `for await` every item, page by
 * page.
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
      throw new ProtocolError('the answer is not a page of a list: is the base URL right?');
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
