// Quotas as a client meets them: before its bytes arrive where it tells how many, at the end otherwise.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { OciError } from '../../src/oci/errors.ts';
import { listFiles, openCare, pushBlob } from '../support/care.ts';
import { alice, blobDigest, repository } from '../support/metadata.ts';

const app = repository('team/app');
const owner = { repository: app, principal: 'alice' };
const settings = { registry: 'unlimited', organization: 10, user: 'unlimited', warnAt: 0.8 } as const;

const isDenied = (error: unknown) =>
  error instanceof OciError &&
  error.code === 'DENIED' &&
  error.status === 403 &&
  /namespace team uses \d+ bytes of its quota of 10 bytes/.test(error.message);

test('a push that says how long it is and does not fit is refused before its bytes are read', async (t) => {
  const { registry, folder } = await openCare(t);
  await registry.metadata.care.quotas.configure(settings);
  await pushBlob(registry, app, '12345678');
  const body = Readable.from([Buffer.from('abcdef')]);
  const chunk = { body, range: undefined, length: 6 };
  await assert.rejects(registry.uploads.put(app, blobDigest('abcdef'), 'sha256', chunk, alice), isDenied);
  const session = await registry.uploads.begin(owner, 'sha256');
  await assert.rejects(registry.uploads.append(owner, session.id, chunk), isDenied);
  assert.equal(body.readableDidRead, false);
  assert.equal((await listFiles(folder)).length, 1);
  await pushBlob(registry, repository('team/other'), '12345678');
});

test('a push of unknown length is refused at its end, and leaves neither file nor session', async (t) => {
  const { registry, folder } = await openCare(t);
  await registry.metadata.care.quotas.configure(settings);
  await pushBlob(registry, app, '12345678');
  const stream = () => ({
    body: Readable.from([Buffer.from('abcdef')]),
    range: undefined,
    length: undefined,
  });
  const session = await registry.uploads.begin(owner, 'sha256');
  await registry.uploads.append(owner, session.id, stream());
  await assert.rejects(registry.uploads.finish(owner, session.id, blobDigest('abcdef'), alice), isDenied);
  await assert.rejects(registry.uploads.put(app, blobDigest('abcdef'), 'sha256', stream(), alice), isDenied);
  assert.equal((await listFiles(folder)).length, 1);
  assert.deepEqual(await registry.metadata.uploads.filterClosed([session.id]), [session.id]);
});

test('two pushes that fit alone and not together: one is refused', async (t) => {
  const { registry } = await openCare(t);
  await registry.metadata.care.quotas.configure(settings);
  const outcomes = await Promise.allSettled(
    ['123456', 'abcdef'].map((text) => pushBlob(registry, app, text)),
  );
  assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  assert.equal((await registry.metadata.care.quotas.find('team'))?.used.bytes, 6);
});

test('a full count of repositories refuses a new one by name, also for a mount', async (t) => {
  const { registry } = await openCare(t);
  const digest = await pushBlob(registry, app, 'layer');
  const quota = { bytes: undefined, repositories: 1 };
  await registry.metadata.care.quotas.set({ namespace: 'team', quota, origin: alice });
  const refused = (error: unknown) =>
    error instanceof OciError && /namespace team has 1 of 1 repositories/.test(error.message);
  const to = repository('team/new');
  await assert.rejects(registry.uploads.begin({ ...owner, repository: to }, 'sha256'), refused);
  const mount = { to, from: app, digest, origin: alice, mayPull: async () => true };
  await assert.rejects(registry.blobs.mount(mount), refused);
  assert.equal(await registry.metadata.repositories.find(to), undefined);
});
