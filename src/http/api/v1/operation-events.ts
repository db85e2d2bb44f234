// The progress of an operation as server-sent events.
import { Readable } from 'node:stream';
import type { Operations } from '../../../registry/operations.ts';
import { showOperation } from './operation-schemas.ts';

/** The id of the last event of every operation. */
export const endedEventId = 'end';

/** Progress is told at most so often. */
const betweenMilliseconds = 250;
/** Without news a comment keeps proxies from closing the connection. */
const silenceMilliseconds = 15_000;

/** Tells how far it is, at once and whenever that changes, then its end, and ends. */
export function progressOf(operations: Operations, id: number): Readable {
  return Readable.from(tell(operations, id), { objectMode: true, highWaterMark: 1 });
}

async function* tell(operations: Operations, id: number): AsyncGenerator<string> {
  let news = Promise.withResolvers<void>();
  let over = false;
  const unwatch = operations.watch(id, () => news.resolve());
  void operations
    .wait(id)
    .catch(() => undefined)
    .then(() => {
      over = true;
      news.resolve();
    });
  try {
    yield 'retry: 2000\n\n';
    for (let count = 1; ; count += 1) {
      const isLast: boolean = over;
      news = Promise.withResolvers();
      const operation = await operations.find(id);
      if (operation === undefined) return;
      const data = JSON.stringify(showOperation(operation));
      if (isLast || operation.endedAt !== undefined) {
        yield `id: ${endedEventId}\nevent: end\ndata: ${data}\n\n`;
        return;
      }
      yield `id: ${count}\nevent: progress\ndata: ${data}\n\n`;
      await pause(betweenMilliseconds);
      while (!(await arrives(news.promise, silenceMilliseconds))) yield ': still running\n\n';
    }
  } finally {
    unwatch();
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Whether `news` comes within a time. */
async function arrives(news: Promise<void>, milliseconds: number): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(late.resolve, milliseconds, false);
  try {
    return await Promise.race([news.then(() => true), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
