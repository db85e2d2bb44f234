// A full disk: pulls and deletes go on, pushes are refused with a reason, and all is well once there is room again.
import assert from 'node:assert/strict';
import { readdir, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCommand } from '../support/berth-command.ts';
import { makeFolder } from '../support/cleanup.ts';
import { mountMemory, resizeMemory } from '../support/file-systems.ts';
import { sha256 } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { makeContent } from '../support/pusher.ts';
import { type RunningBerth, startBerth } from '../support/running-berth.ts';
import { until } from '../support/slow-upload.ts';

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const skip = skipWithout('root', 'mount');

interface Case {
  readonly name: string;
  readonly disk: string;
  readonly larger: string;
  readonly layerBytes: number;
  readonly environment: NodeJS.ProcessEnv;
}

const CASES: readonly Case[] = [
  {
    name: 'a disk without the room that storage.keepFree asks for',
    disk: 'size=48m',
    larger: 'size=96m',
    layerBytes: 3_000_000,
    environment: { BERTH_STORAGE_BALLAST: '4MiB', BERTH_STORAGE_KEEP_FREE: '8MiB' },
  },
  {
    name: 'a disk that is full to the last byte',
    disk: 'size=48m',
    larger: 'size=96m',
    layerBytes: 3_000_000,
    environment: { BERTH_STORAGE_BALLAST: '4MiB', BERTH_STORAGE_KEEP_FREE: '1KiB' },
  },
  {
    name: 'a disk without inodes',
    disk: 'size=64m,nr_inodes=400',
    larger: 'size=64m,nr_inodes=800',
    layerBytes: 2000,
    environment: { BERTH_STORAGE_BALLAST: '4MiB', BERTH_STORAGE_KEEP_FREE_INODES: '5%' },
  },
];

for (const { name, disk, larger, layerBytes, environment } of CASES) {
  test(`${name} refuses pushes, serves pulls and deletes, and recovers`, { skip }, async (t) => {
    const folder = join(await makeFolder(t, 'full'), 'disk');
    await mountMemory(t, disk, folder);
    const berth = await startBerth(t, { dataFolder: join(folder, 'store'), environment });
    const pushed = await pushUntilRefused(berth, layerBytes);
    assert.ok(pushed.length > 2, `only ${pushed.length} images fitted`);
    if (environment.BERTH_STORAGE_KEEP_FREE === '1KiB') await fillUp(folder);

    await t.test('another push is refused with 507 UNAVAILABLE, in every form', async () => {
      const content = makeContent('one more', layerBytes * 2);
      const whole = await fetch(`${berth.url}/v2/full/app/blobs/uploads/?digest=${sha256(content)}`, {
        method: 'POST',
        body: content,
      });
      await assertRefused(whole);
      const absent = await fetch(`${berth.url}/v2/full/app/blobs/${sha256(content)}`, { method: 'HEAD' });
      assert.equal(absent.status, 404);
    });

    await t.test('/readyz stays 200 and says that writes are refused', async () => {
      await until('/readyz says so', async () => {
        const ready = await fetch(`${berth.url}/readyz`);
        assert.equal(ready.status, 200);
        const { writes } = (await ready.json()) as { writes: string };
        return writes === 'refused, disk';
      });
    });

    await t.test('everything that was acknowledged is pulled with the right bytes', async () => {
      for (const image of pushed) await assertPullable(berth, image);
    });

    await t.test('tags and manifests are deleted', async () => {
      const [first, second] = pushed;
      assert(first !== undefined && second !== undefined);
      assert.equal(await remove(berth, first.tag), 202);
      assert.equal(await remove(berth, second.digest), 202);
      const gone = await fetch(`${berth.url}/v2/full/app/manifests/${second.digest}`);
      assert.equal(gone.status, 404);
    });

    await t.test('with room again pushes are accepted without a restart', async () => {
      await resizeMemory(larger, folder);
      await until('the server notices', async () => {
        const ready = (await (await fetch(`${berth.url}/readyz`)).json()) as { writes: string };
        return ready.writes === 'accepted';
      });
      const image = await push(berth, 'again', layerBytes);
      assert(!(image instanceof Response), 'the push is still refused');
      await assertPullable(berth, image);
    });

    assert.deepEqual(await berth.end('SIGTERM'), { code: 0, signal: undefined });
    const again = await startBerth(t, { dataFolder: join(folder, 'store'), environment });
    for (const image of pushed.slice(2)) await assertPullable(again, image);
  });
}

test('an upload that fills the disk is ended, and its room is free again', { skip }, async (t) => {
  const folder = join(await makeFolder(t, 'full'), 'disk');
  await mountMemory(t, 'size=24m', folder);
  const environment = { BERTH_STORAGE_BALLAST: '4MiB', BERTH_STORAGE_KEEP_FREE: '1KiB' };
  const dataFolder = join(folder, 'store');
  const berth = await startBerth(t, { dataFolder, environment });
  const begun = await fetch(`${berth.url}/v2/full/app/blobs/uploads/`, { method: 'POST' });
  const session = new URL(begun.headers.get('location') ?? '', berth.url);
  const append = (size: number) => fetch(session, { method: 'PATCH', body: makeContent('filling', size) });
  assert.equal((await append(5_000_000)).status, 202);
  await assertRefused(await append(30_000_000));
  assert.deepEqual(await readdir(join(dataFolder, 'uploads')), []);
  assert.equal((await append(1)).status, 404);
  const image = await push(berth, 'fits', 10_000_000);
  assert(!(image instanceof Response), 'the push is still refused');
  await assertPullable(berth, image);
});

test('collections run on a disk that is full to the last byte while people push, delete and pull', {
  skip,
}, async (t) => {
  const folder = join(await makeFolder(t, 'full'), 'disk');
  await mountMemory(t, 'size=48m', folder);
  const environment = {
    BERTH_STORAGE_BALLAST: '4MiB',
    BERTH_STORAGE_KEEP_FREE: '1KiB',
    BERTH_COLLECTOR_LEASE: '2s',
  };
  const dataFolder = join(folder, 'store');
  const berth = await startBerth(t, { dataFolder, environment });
  const gc = () => runCommand(t, ['gc', '--now', '--json'], { environment: { BERTH_DATA: dataFolder } });
  const there: Image[] = [];
  const kept: Image[] = [];
  let [refused, removed, over] = [0, 0, false];
  const pushing = (async () => {
    for (let count = 0; !over; count += 1) {
      const image = await push(berth, `t${count}`, 2_000_000);
      if (!(image instanceof Response)) there.push(image);
      else {
        await assertRefused(image);
        refused += 1;
        // The disk is full: what is older goes, and some stays for good.
        const oldest = there.shift();
        if (oldest === undefined) await new Promise((resolve) => setTimeout(resolve, 200));
        else if (kept.length < 3) kept.push(oldest);
        else {
          assert.equal(await remove(berth, oldest.digest), 202);
          removed += 1;
        }
      }
    }
  })();
  const pulling = (async () => {
    while (!over) {
      for (const image of kept) await assertPullable(berth, image);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  let freed = 0;
  let filled = false;
  // Until what was deleted on a full disk has made room for pushes again, some times over.
  for (let runs = 0; runs < 60 && freed < 20_000_000; runs += 1) {
    if (!filled && refused > 0) {
      await fillUp(folder);
      filled = true;
    }
    const { code, stdout, stderr } = await gc();
    assert.equal(code, 0, stderr);
    const { state, report } = JSON.parse(stdout);
    assert.deepEqual([state, report.stopped], ['done', undefined]);
    freed += report.freed.bytes;
  }
  over = true;
  await Promise.all([pushing, pulling]);
  t.diagnostic(
    `${refused} pushes refused, ${removed} images removed, ${freed} bytes freed, ${there.length} there`,
  );
  assert.ok(refused > 0 && removed > 0 && freed >= 20_000_000);
  for (const image of [...kept, ...there]) await assertPullable(berth, image);
  assert.deepEqual(await berth.end('SIGTERM'), { code: 0, signal: undefined });
  const again = await startBerth(t, { dataFolder, environment });
  for (const image of [...kept, ...there]) await assertPullable(again, image);
  const scrub = await runCommand(t, ['scrub', '--deep'], { environment: { BERTH_DATA: dataFolder } });
  assert.equal(scrub.code, 0, scrub.stdout + scrub.stderr);
});

interface Image {
  readonly tag: string;
  readonly digest: string;
  readonly layer: string;
}

async function pushUntilRefused(berth: RunningBerth, layerBytes: number): Promise<Image[]> {
  const pushed: Image[] = [];
  for (;;) {
    const image = await push(berth, `t${pushed.length}`, layerBytes);
    if (image instanceof Response) {
      await assertRefused(image);
      return pushed;
    }
    pushed.push(image);
  }
}

/** Pushes an image; gives the answer that refused it, if one did. */
async function push(berth: RunningBerth, tag: string, layerBytes: number): Promise<Image | Response> {
  const blobs = [Buffer.from(JSON.stringify({ tag })), makeContent(tag, layerBytes)];
  for (const content of blobs) {
    const answer = await fetch(`${berth.url}/v2/full/app/blobs/uploads/?digest=${sha256(content)}`, {
      method: 'POST',
      body: content,
    });
    if (answer.status !== 201) return answer;
  }
  const [config, layer] = blobs.map((content) => ({ digest: sha256(content), size: content.length }));
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layer }],
  });
  const answer = await fetch(`${berth.url}/v2/full/app/manifests/${tag}`, {
    method: 'PUT',
    headers: { 'content-type': MANIFEST_TYPE },
    body,
  });
  return answer.status === 201 ? { tag, digest: sha256(body), layer: layer?.digest ?? '' } : answer;
}

async function assertRefused(answer: Response): Promise<void> {
  const text = await answer.text();
  assert.equal(answer.status, 507, text);
  assert.equal(JSON.parse(text).errors[0].code, 'UNAVAILABLE');
}

async function assertPullable(berth: RunningBerth, image: Image): Promise<void> {
  for (const path of [`manifests/${image.digest}`, `blobs/${image.layer}`]) {
    const answer = await fetch(`${berth.url}/v2/full/app/${path}`);
    assert.equal(answer.status, 200, `${path} of ${image.tag}`);
    assert.equal(`${path.split('/')[0]}/${sha256(Buffer.from(await answer.arrayBuffer()))}`, path);
  }
}

async function remove(berth: RunningBerth, reference: string): Promise<number> {
  const answer = await fetch(`${berth.url}/v2/full/app/manifests/${reference}`, { method: 'DELETE' });
  await answer.body?.cancel();
  return answer.status;
}

/** Takes what room there is at this moment, as another program on the same disk would. */
async function fillUp(folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  await writeFile(join(folder, 'filler'), Buffer.alloc(bavail * bsize)).catch((error) => {
    if (error.code !== 'ENOSPC') throw error;
  });
}
