// What a client is told that pushes into a namespace that was removed, over the real stores.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { OciError } from '../../src/oci/errors.ts';
import { createRegistry } from '../../src/registry/registry.ts';
import { openDiskStore } from '../../src/storage/disk/disk-store.ts';
import { addOrganization, root } from '../support/accounts.ts';
import { makeFolder } from '../support/cleanup.ts';
import { blobDigest, manualClock, openTestStore, repository, tag } from '../support/metadata.ts';

test('a push into a removed namespace is refused at every way in, with a sentence that says why', async (t) => {
  const clock = manualClock();
  const { store: metadata } = await openTestStore(t, { clock });
  const blobs = await openDiskStore({ folder: await makeFolder(t, 'blobs'), onFatal: () => undefined });
  t.after(() => blobs.close());
  const registry = createRegistry({
    metadata,
    blobs,
    ballast: { release: async () => 0, refill: async () => true },
    clock,
    settings: {
      readOnly: false,
      delete: true,
      keepFree: { share: 0, bytes: 0 },
      keepFreeInodes: 0,
      blobSizeLimit: 1000,
      sparseManifests: 'none',
      leaseSeconds: 86_400,
      uploads: {
        perRepository: 10,
        perPrincipal: 10,
        total: 10,
        idleExpirySeconds: 100,
        longestSeconds: 100,
      },
    },
    onDamage: () => undefined,
    onDutyFailure: () => undefined,
  });
  await addOrganization(metadata, 'acme');
  await metadata.accounts.organizations.remove({ name: 'acme', origin: root });

  const app = repository('acme/app');
  const digest = blobDigest('layer');
  const file = join(await makeFolder(t, 'source'), 'layer');
  await writeFile(file, 'layer');
  const chunk = { body: Readable.from([Buffer.from('layer')]), range: undefined, length: undefined };
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [],
    }),
  );
  const ways = {
    session: () => registry.uploads.begin({ repository: app, principal: 'root' }, 'sha256'),
    monolithic: () => registry.uploads.put(app, digest, 'sha256', chunk, root),
    'a file of this machine': () => registry.uploads.adopt(app, digest, file, root),
    manifest: () =>
      registry.manifests.push({
        repository: app,
        reference: { tag: tag('v1') },
        tags: [],
        contentType: 'application/vnd.oci.image.index.v1+json',
        bytes,
        origin: root,
      }),
  };
  for (const [way, push] of Object.entries(ways)) {
    await assert.rejects(push, (error) => {
      assert.ok(error instanceof OciError, `${way}: ${error}`);
      assert.equal(error.code, 'NAME_UNKNOWN');
      assert.match(error.message, /the namespace acme was removed: its name stays taken/);
      return true;
    });
  }
  assert.equal(await metadata.repositories.find(app), undefined);
  assert.equal(await metadata.care.collector.countUnlinks(), 2, 'the bytes of what was refused are to go');
});
