/**
 * The promise of something that has begun. When it fails and nobody waits for it, its failure is
 * told instead of ending the process as an unhandled rejection would.
 */
export class Started<T> extends Promise<T> {
  // biome-ignore lint/correctness/noUnusedPrivateClassMembers: read in `watch`
  #isWaitedFor = false;

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  /** Like `work`, with an ear for the failure that nobody hears. */
  static watch<T>(work: Promise<T>, onUnheard: (error: unknown) => void): Started<T> {
    const started = new Started<T>((resolve, reject) => work.then(resolve, reject));
    Promise.prototype.then.call(started, undefined, (error: unknown) => {
      if (!started.#isWaitedFor) onUnheard(error);
    });
    return started;
  }

  // biome-ignore lint/suspicious/noThenProperty: whoever calls it waits, `await` included
  override then<A = T, B = never>(
    onDone?: ((value: T) => A | PromiseLike<A>) | null,
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#isWaitedFor = true;
    return super.then(onDone, onError);
  }
}
