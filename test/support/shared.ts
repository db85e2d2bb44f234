// One thing for all the tests of a suite: a registry takes longer to start than most tests take, and tests that keep to
// repositories and names of their own do not disturb each other.
import { after, before } from 'node:test';
import type { Cleanup } from './cleanup.ts';
import { startRegistry, type TestRegistry } from './registry.ts';

/** To be called in a suite: starts it before the first test and ends it after the last. The result gives it to the tests. */
export function shared<Thing>(start: (t: Cleanup) => Promise<Thing>): () => Thing {
  const endings: (() => Promise<void>)[] = [];
  let started: { readonly thing: Thing } | undefined;
  before(async () => {
    started = { thing: await start({ after: (end) => endings.push(end) }) };
  });
  after(async () => {
    for (const end of endings) await end();
  });
  return () => {
    if (started === undefined) throw new Error('it starts before the first test: ask for it in a test');
    return started.thing;
  };
}

/** A registry for the tests of a suite; each call gives a test the name of a repository that is its own. */
export function sharedRegistry(): () => TestRegistry & { readonly web: string } {
  const registry = shared((t) => startRegistry(t));
  let tests = 0;
  return () => {
    tests += 1;
    return { ...registry(), web: `acme/web${tests}` };
  };
}
