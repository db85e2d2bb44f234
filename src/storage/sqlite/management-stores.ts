// The parts of the metadata store by which people manage tags and manifests, and what was deleted.
import type { DeletedStore, ManifestManagement, TagManagement } from '../metadata-store.ts';
import type { Connection } from './connection.ts';
import { makeDeletedReads } from './deleted-reads.ts';
import type { Ask } from './sqlite-accounts.ts';
import { makeTagReads } from './tag-reads.ts';
import type { WriterThread } from './writer-thread.ts';

/** The stores over what was opened. */
export function makeManagementStores(
  parts: {
    readonly writer: Pick<WriterThread, 'run'>;
    readonly reader: Connection;
    readonly ticks: () => number;
  },
  ask: Ask,
) {
  const { writer, reader, ticks } = parts;
  const reads = makeTagReads(reader, ask);
  const past = makeDeletedReads(reader, ticks);
  return {
    tags: {
      details: reads.listTags,
      find: reads.findTag,
      set: (input) => writer.run('setTag', input),
      removeMatching: (options) => writer.run('removeTags', options),
      history: (options) => ask(() => past.history(options)),
      deprecate: (options) => writer.run('deprecateTag', options),
    } satisfies TagManagement,
    manifests: {
      details: reads.listManifests,
      findDetails: reads.findManifestDetails,
      listUnread: reads.listUnread,
      describe: (found) => writer.run('describeManifests', found),
    } satisfies ManifestManagement,
    deleted: {
      listManifests: (options) => ask(() => past.listManifests(options)),
      listTags: (options) => ask(() => past.listTags(options)),
      findManifest: (id) => ask(() => past.findManifest(id)),
      findTag: (id) => ask(() => past.findTag(id)),
      restoreManifest: (options) => writer.run('restoreManifest', options),
      restoreTag: (options) => writer.run('restoreTag', options),
      purgeManifest: (id, origin) => writer.run('purgeManifest', { id, origin }),
    } satisfies DeletedStore,
  };
}
