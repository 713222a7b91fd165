/**
 * The promise of a call that has started. If it fails and nobody awaits it, the failure is
 * reported; an unhandled rejection would end the process.
 */
export class Started<T> extends Promise<T> {
  // biome-ignore lint/correctness/noUnusedPrivateClassMembers: read in `watch`
  #isAwaited = false;

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  /** Like `work`; calls `onUnhandled` with a failure that nobody awaits. */
  static watch<T>(work: Promise<T>, onUnhandled: (error: unknown) => void): Started<T> {
    const started = new Started<T>((resolve, reject) => work.then(resolve, reject));
    Promise.prototype.then.call(started, undefined, (error: unknown) => {
      if (!started.#isAwaited) onUnhandled(error);
    });
    return started;
  }

  // biome-ignore lint/suspicious/noThenProperty: `await` calls it too
  override then<A = T, B = never>(
    onDone?: ((value: T) => A | PromiseLike<A>) | null,
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#isAwaited = true;
    return super.then(onDone, onError);
  }
}
