// Cleaning up after a test in the reverse order of the arrangement: a server ends before its folder goes.
// (node:test runs `after` hooks in the order in which they were registered.)
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

type Action = () => Promise<unknown> | unknown;

/** What the support functions ask of a test: the hook that node:test's contexts have. */
export interface Cleanup {
  after(action: () => Promise<void>): void;
}

const pending = new WeakMap<Cleanup, Action[]>();

/** Runs the action when the test has ended, before the actions that were given earlier. */
export function onEnd(t: Cleanup, action: Action): void {
  const known = pending.get(t);
  if (known !== undefined) {
    known.push(action);
    return;
  }
  const actions = [action];
  pending.set(t, actions);
  t.after(async () => {
    const faults: unknown[] = [];
    for (const next of actions.toReversed()) {
      try {
        await next();
      } catch (fault) {
        faults.push(fault);
      }
    }
    if (faults.length > 0) throw new AggregateError(faults, `cleaning up failed: ${faults.join('; ')}`);
  });
}

/** Makes a temporary folder that is removed after the test. */
export async function makeFolder(t: Cleanup, purpose: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `berth-${purpose}-`));
  onEnd(t, () => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}
