// Gives back the memory that the start of a thread took and that serving does not need.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/**
 * Collects this thread's garbage once, in so many milliseconds. Loading a thousand modules makes V8's young generation grow to 32 MiB,
 * and nothing makes it shrink again in a process that has little to do. A smaller bound for it (--max-semi-space-size) would last,
 * but costs requests from many connections a fifth of their time; this one costs about 60 ms, once.
 */
export function releaseStartMemory(afterMilliseconds: number): void {
  const collect = () => collector()?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  setTimeout(collect, afterMilliseconds).unref();
}

// V8 gives its collector to contexts that are made while the flag is set.
function collector(): Collect | undefined {
  setFlagsFromString('--expose-gc');
  try {
    const collect: unknown = runInNewContext('globalThis.gc');
    return typeof collect === 'function' ? (collect as Collect) : undefined;
  } finally {
    setFlagsFromString('--no-expose-gc');
  }
}
