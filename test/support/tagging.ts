// What tests of tags in the store share: names, and the one way to set a tag.
import assert from 'node:assert/strict';
import type { MetadataStore, SetTag, SetTagOutcome } from '../../src/storage/metadata-store.ts';
import { repository, tag } from './metadata.ts';

export const app = repository('team/app');
export const prod = repository('prod/app');
export const bob = { actor: 'bob' };

export function setTag(
  store: MetadataStore,
  name: string,
  from: SetTag['from'],
  options: Partial<SetTag> = {},
) {
  const given = {
    repository: app,
    tag: tag(name),
    referrers: false,
    mayRestore: false,
    dryRun: false,
    origin: bob,
  };
  return store.tags.set({ ...given, from, ...options });
}

export const targetOf = async (store: MetadataStore, name: string, of = app) =>
  (await store.manifests.stat(of, { tag: tag(name) }))?.digest;

export function assertSet(outcome: SetTagOutcome): Extract<SetTagOutcome, { outcome: 'set' }> {
  assert.equal(outcome.outcome, 'set', JSON.stringify(outcome));
  return outcome as Extract<SetTagOutcome, { outcome: 'set' }>;
}

export async function deletedOf(store: MetadataStore, of = app) {
  return (await store.deleted.listManifests({ repository: of, limit: 100 })).items;
}
