// bcrypt in threads of its own: not in libuv's pool, which fsync and file reads need. A thread starts with the first job and
// ends when it was idle for a while.
import { Worker } from 'node:worker_threads';
import type { HashAnswer, HashJob } from './password-worker.ts';

const idleMilliseconds = 60_000;

/** One thread; one job at a time, which the caller sees to. */
export class HashThread {
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;

  /** The answer to a job. Rejects when bcrypt or the thread fails; the next job gets a new thread. */
  async run(job: HashJob): Promise<string | boolean> {
    clearTimeout(this.#idle);
    this.#worker ??= this.#start();
    const worker = this.#worker;
    worker.ref();
    const done = Promise.withResolvers<HashAnswer>();
    const fail = (error: unknown): void => done.reject(error);
    const ended = (): void => fail(new Error('the thread that hashes passwords ended'));
    worker.once('message', done.resolve).once('error', fail).once('exit', ended);
    try {
      worker.postMessage(job);
      const answer = await done.promise;
      if ('failure' in answer) throw new Error(answer.failure);
      return answer.value;
    } finally {
      worker.off('message', done.resolve).off('error', fail).off('exit', ended);
      worker.unref();
      this.#idle = setTimeout(() => void this.#stop(worker), idleMilliseconds).unref();
    }
  }

  #start(): Worker {
    const worker = new Worker(new URL('./password-worker.ts', import.meta.url));
    worker.once('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    return worker;
  }

  async #stop(worker: Worker): Promise<void> {
    if (this.#worker === worker) this.#worker = undefined;
    await worker.terminate();
  }
}
