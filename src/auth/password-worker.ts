// The thread that hashes passwords. It takes the lowest priority for itself: a hash fills a core for a quarter of a second, and
// whoever pushes or pulls goes first.
import { readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import bcrypt from 'bcrypt';

export type HashJob =
  | { readonly kind: 'hash'; readonly password: string; readonly cost: number }
  | { readonly kind: 'compare'; readonly password: string; readonly hash: string };

export type HashAnswer = { readonly value: string | boolean } | { readonly failure: string };

if (parentPort !== null) {
  yieldToOthers();
  const port = parentPort;
  port.on('message', (job: HashJob) => port.postMessage(answer(job)));
}

function answer(job: HashJob): HashAnswer {
  try {
    if (job.kind === 'hash') return { value: bcrypt.hashSync(job.password, job.cost) };
    return { value: bcrypt.compareSync(job.password, job.hash) };
  } catch (error) {
    return { failure: String(error) };
  }
}

// Linux has a priority for each thread, by the thread's id, which only /proc tells. Elsewhere the thread is one like any other.
function yieldToOthers(): void {
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    setPriority(thread, constants.priority.PRIORITY_LOW);
  } catch {
    // No such file, or not allowed: hashing works all the same.
  }
}
