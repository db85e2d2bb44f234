// Keeps the writer threads of stores that were closed for the stores that come next in this process: starting a thread costs
// more processor time than everything else about a store. A thread whose store did not end well is not kept.
import type { Worker } from 'node:worker_threads';
import type { WriterReply } from '../../src/storage/sqlite/writer.ts';
import { type WriterWorker, writerWorkers } from '../../src/storage/sqlite/writer-thread.ts';

const startNew = writerWorkers.start as () => Worker;
const kept: Worker[] = [];

// biome-ignore lint/suspicious/noExplicitAny: what comes with an event depends on the event
type Listener = (value: any) => void;

/** From now on stores in this process take over kept threads. */
export function keepWriterThreads(): void {
  writerWorkers.start = () => borrow(kept.pop() ?? startNew());
}

/** The worker as one store sees it: `terminate` gives it back when its database is closed. */
function borrow(worker: Worker): WriterWorker {
  worker.ref();
  const listeners: [event: string, listener: Listener][] = [];
  let isClosed = false;
  const listen = (event: string, listener: Listener): void => {
    worker.on(event, listener);
    listeners.push([event, listener]);
  };
  listen('message', (reply: WriterReply) => {
    isClosed = reply.kind === 'closed';
  });
  return {
    on: listen,
    postMessage: worker.postMessage.bind(worker),
    async terminate() {
      for (const [event, listener] of listeners) worker.off(event, listener);
      if (!isClosed) return await worker.terminate();
      // The process may end while it waits.
      worker.unref();
      kept.push(worker);
      return 0;
    },
  };
}
