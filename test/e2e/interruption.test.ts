// Uploads that the end of the server interrupts, and a second server on the same folder.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder } from '../support/cleanup.ts';
import { sha256 } from '../support/images.ts';
import { makeContent } from '../support/pusher.ts';
import { type RunningBerth, startBerth } from '../support/running-berth.ts';
import { askUpload, beginPatch, finishUpload, type SlowPatch, until } from '../support/slow-upload.ts';

const MEBIBYTE = 2 ** 20;
const CONTENT = makeContent('an interrupted upload', 12 * MEBIBYTE);
const DIGEST = sha256(CONTENT);
const REPOSITORY = 'interrupted/app';

interface Interrupted {
  readonly path: string;
  readonly patch: SlowPatch;
}

/** Puts 4 MiB into an upload with an acknowledged PATCH and 4 more with one that stays open. */
async function beginUpload(berth: RunningBerth): Promise<Interrupted> {
  const begun = await fetch(`${berth.url}/v2/${REPOSITORY}/blobs/uploads/`, { method: 'POST' });
  assert.equal(begun.status, 202);
  const first = await fetch(new URL(begun.headers.get('location') ?? '', berth.url), {
    method: 'PATCH',
    headers: { 'content-type': 'application/octet-stream' },
    body: CONTENT.subarray(0, 4 * MEBIBYTE),
  });
  assert.equal(first.status, 202);
  const location = new URL(first.headers.get('location') ?? '', berth.url);
  const patch = beginPatch(location.href);
  patch.send(CONTENT.subarray(4 * MEBIBYTE, 8 * MEBIBYTE));
  await until(
    'bytes of the open PATCH arrive',
    async () => (await askUpload(location.href)).offset > 4 * MEBIBYTE,
  );
  return { path: location.pathname + location.search, patch };
}

async function resume(berth: RunningBerth, path: string): Promise<void> {
  const location = berth.url + path;
  const { offset } = await askUpload(location);
  assert.ok(offset >= 4 * MEBIBYTE, `acknowledged bytes are lost: the upload is at ${offset}`);
  assert.ok(offset <= 8 * MEBIBYTE, `the upload is at ${offset}, and that much was never sent`);
  await finishUpload(location, CONTENT, DIGEST);
  const blob = await fetch(`${berth.url}/v2/${REPOSITORY}/blobs/${DIGEST}`);
  assert.equal(blob.status, 200);
  assert.equal(sha256(Buffer.from(await blob.arrayBuffer())), DIGEST);
}

test('an upload resumes at the reported offset after kill -9 in mid-PATCH', async (t) => {
  const dataFolder = join(await makeFolder(t, 'interruption'), 'store');
  const struck = await startBerth(t, { dataFolder });
  const { path, patch } = await beginUpload(struck);
  await struck.end('SIGKILL');
  await patch.broken;
  await resume(await startBerth(t, { dataFolder }), path);
});

test('SIGTERM lets a PATCH finish whose client goes on sending, and exits with 0', async (t) => {
  const dataFolder = join(await makeFolder(t, 'interruption'), 'store');
  const stopping = await startBerth(t, { dataFolder });
  const { path, patch } = await beginUpload(stopping);
  const ended = stopping.end('SIGTERM');
  await until('the server takes no new work', async () => {
    try {
      const ready = await fetch(`${stopping.url}/readyz`);
      await ready.body?.cancel();
      return ready.status === 503;
    } catch {
      return true;
    }
  });
  patch.send(CONTENT.subarray(8 * MEBIBYTE, 10 * MEBIBYTE));
  assert.equal(await patch.finish(), 202);
  assert.deepEqual(await ended, { code: 0, signal: undefined });

  const berth = await startBerth(t, { dataFolder });
  assert.equal((await askUpload(berth.url + path)).offset, 10 * MEBIBYTE);
  await finishUpload(berth.url + path, CONTENT, DIGEST);
});

test('SIGTERM does not wait longer than limits.shutdown for a client that stalls', async (t) => {
  const dataFolder = join(await makeFolder(t, 'interruption'), 'store');
  const stopping = await startBerth(t, { dataFolder, environment: { BERTH_LIMITS_SHUTDOWN: '2s' } });
  const { path, patch } = await beginUpload(stopping);
  assert.deepEqual(await stopping.end('SIGTERM'), { code: 0, signal: undefined });
  await patch.broken;
  await resume(await startBerth(t, { dataFolder }), path);
});

test('SIGTERM lets a download finish', async (t) => {
  const dataFolder = join(await makeFolder(t, 'interruption'), 'store');
  const berth = await startBerth(t, { dataFolder });
  const content = makeContent('a long download', 64 * MEBIBYTE);
  const pushed = await fetch(
    `${berth.url}/v2/${REPOSITORY}/blobs/uploads/?digest=${encodeURIComponent(sha256(content))}`,
    { method: 'POST', body: content },
  );
  assert.equal(pushed.status, 201);
  const download = await fetch(`${berth.url}/v2/${REPOSITORY}/blobs/${sha256(content)}`);
  const ended = berth.end('SIGTERM');
  await until('the signal has arrived', () => /SIGTERM/.test(berth.log()));
  assert.equal(sha256(Buffer.from(await download.arrayBuffer())), sha256(content));
  assert.deepEqual(await ended, { code: 0, signal: undefined });
});

test('a second server on the same folder ends and says why; the first one works on', async (t) => {
  const dataFolder = join(await makeFolder(t, 'interruption'), 'store');
  const first = await startBerth(t, { dataFolder });
  await assert.rejects(startBerth(t, { dataFolder }), (error: Error) => {
    assert.match(error.message, /exit 1/);
    assert.match(error.message, new RegExp(`${dataFolder} is in use by process ${first.child.pid}`));
    return true;
  });
  const { path, patch } = await beginUpload(first);
  assert.equal(await patch.finish(), 202);
  await finishUpload(first.url + path, CONTENT, DIGEST);

  await first.end('SIGKILL');
  await startBerth(t, { dataFolder });
});
