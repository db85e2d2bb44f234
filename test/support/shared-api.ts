// One registry for all tests of a `describe` that do not disturb each other.
import { after, before, type TestContext } from 'node:test';
import { type ApiRegistry, startApi } from './api.ts';
import type { Settings } from './registry.ts';

/** Call it in a `describe`; what it returns gives the registry, within tests. */
export function shareApi(settings: Settings = {}): () => ApiRegistry {
  const endings: (() => unknown)[] = [];
  let api: ApiRegistry | undefined;
  before(async () => {
    const later = { after: (end: () => unknown) => endings.push(end) } as unknown as TestContext;
    api = await startApi(later, settings);
  });
  after(async () => {
    for (const end of endings.toReversed()) await end();
  });
  return () => {
    if (api === undefined) throw new Error('the registry is there for tests, and not before');
    return api;
  };
}
