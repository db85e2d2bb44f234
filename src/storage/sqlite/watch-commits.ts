// Tells whoever follows the events that something was committed: a look at the newest event is cheap, asking all the time is not.
import type { WriterThread } from './writer-thread.ts';

type Writer = Pick<WriterThread, 'run' | 'commits' | 'statistics' | 'ended' | 'close'>;

/** `writer` with a way to be told of its commits. Nothing is added to an intention while nobody listens. */
export function watchCommits(writer: Writer): {
  readonly writer: Writer;
  readonly watch: (listener: () => void) => () => void;
} {
  const listeners = new Set<() => void>();
  const tell = (): void => {
    for (const listener of listeners) listener();
  };
  const run: Writer['run'] = (name, input, bytes) => {
    const result = writer.run(name, input, bytes);
    if (listeners.size > 0) result.then(tell, () => undefined);
    return result;
  };
  return {
    writer: {
      run,
      statistics: () => writer.statistics(),
      close: () => writer.close(),
      get commits() {
        return writer.commits;
      },
      get ended() {
        return writer.ended;
      },
    },
    watch(listener) {
      // Each call is a listener of its own, also where two bring the same function.
      const own = (): void => listener();
      listeners.add(own);
      return () => listeners.delete(own);
    },
  };
}
