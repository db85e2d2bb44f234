// The care of the store as people do it: real clients, the real command line. Collection, scrub, quotas, and a disk that is full.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runCommand } from '../support/berth-command.ts';
import { makeFolder } from '../support/cleanup.ts';
import { type ClientHome, makeClientHome } from '../support/client-home.ts';
import { mountMemory } from '../support/file-systems.ts';
import { skipWithout } from '../support/programs.ts';
import { pullEverything } from '../support/pull.ts';
import { type BerthOptions, type RunningBerth, startBerth } from '../support/running-berth.ts';

const skip = skipWithout('podman', 'buildah', 'skopeo', 'root');

/** A lease so short that the test sees what comes free by itself. */
const shortLease = { BERTH_COLLECTOR_LEASE: '2s' };

async function start(t: TestContext, options: BerthOptions = {}) {
  const berth = await startBerth(t, options);
  const home = await makeClientHome(t);
  const command = (...args: string[]) =>
    runCommand(t, args, { environment: { BERTH_DATA: berth.dataFolder, HOME: home.folder } });
  return { berth, home, command };
}

/** Builds an image with one layer of so many random bytes and gives its name. */
async function buildImage(home: ClientHome, name: string, bytes: number): Promise<string> {
  const folder = home.path(`build-${name}`);
  await home.write(`build-${name}/Containerfile`, 'FROM scratch\nCOPY data /data\n');
  await writeFile(join(folder, 'data'), randomBytes(bytes));
  await home.run('buildah', ['build', '--layers=false', '--tag', `localhost/${name}:1`, folder]);
  return `localhost/${name}:1`;
}

async function push(home: ClientHome, berth: RunningBerth, image: string, target: string): Promise<string> {
  const file = home.path('digest');
  const args = ['push', '--tls-verify=false', '--digestfile', file, image, `${berth.host}/${target}`];
  await home.run('podman', args);
  return (await readFile(file, 'utf8')).trim();
}

async function pushFails(
  home: ClientHome,
  berth: RunningBerth,
  image: string,
  target: string,
): Promise<string> {
  const args = ['push', '--tls-verify=false', '--retry=0', image, `${berth.host}/${target}`];
  // An older podman has no --retry: it tries on by itself and takes longer.
  const first = await home.run('podman', args, { expect: 'fails' });
  if (!/unknown flag/.test(first.output)) return first.output;
  return (
    await home.run(
      'podman',
      args.filter((arg) => arg !== '--retry=0'),
      { expect: 'fails' },
    )
  ).output;
}

async function remove(berth: RunningBerth, reference: string): Promise<void> {
  const answer = await fetch(`${berth.url}/v2/${reference}`, { method: 'DELETE' });
  assert.equal(answer.status, 202, await answer.text());
}

function blobFiles({ dataFolder }: RunningBerth): readonly string[] {
  const folder = join(dataFolder, 'blobs');
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
}

/** Files go a minute after their rows: whoever reads one may finish. */
async function soon(what: string, condition: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < 120; waited += 3) {
    if (await condition()) return;
    await pause(3);
  }
  assert.fail(`it took too long until ${what}`);
}

const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

test('gc tells what is held and why, and with --now frees what was deleted', { skip }, async (t) => {
  const { berth, home, command } = await start(t, { environment: shortLease });
  await push(home, berth, await buildImage(home, 'kept', 100_000), 'team/app:kept');
  const digest = await push(home, berth, await buildImage(home, 'gone', 2_000_000), 'team/app:gone');
  const before = blobFiles(berth).length;
  assert.match((await command('gc')).stdout, /^freed +0 B \(0 blobs, 0 manifests\)/);

  const freed = await command('usage', 'team/app', '--free-by', 'gone');
  assert.match(freed.stdout, /^would free 1\.9 MiB \(2 blobs\) with 1 manifest\n/);
  await remove(berth, `team/app/manifests/${digest}`);
  const held = await command('gc');
  assert.equal(held.code, 0);
  assert.match(
    held.stdout,
    /^freed +0 B .*\nheld +1\.9 MiB deleted less than 14 days ago \(berth gc --now gives it up\); by itself all of it in 14 days\n/,
  );
  await pause(4);
  const dry = await command('gc', '--now', '--dry-run');
  assert.match(dry.stdout, /^would free +1\.9 MiB \(2 blobs, 1 manifest\)\n/);
  assert.equal(blobFiles(berth).length, before);
  const now = await command('gc', '--now');
  assert.match(now.stdout, /^freed +1\.9 MiB \(2 blobs, 1 manifest\) in /);
  assert.match(now.stdout, /\nwaiting +2 files: /);
  await soon('the files are gone', async () => {
    await command('gc');
    return blobFiles(berth).length === before - 2;
  });
  assert.deepEqual([...(await pullEverything(berth.url)).keys()], ['team/app:kept']);
  const listed = await command('operation', 'list', '--kind', 'gc');
  assert.match(listed.stdout, /^ID +KIND +STATE +PROGRESS +STARTED +TOOK +BY\n\d+ +gc +done /);
});

test('scrub finds a flipped blob, tells what it touches, and the next push heals it', { skip }, async (t) => {
  const { berth, home, command } = await start(t);
  const image = await buildImage(home, 'app', 300_000);
  const digest = await push(home, berth, image, 'team/app:v1');
  assert.match((await command('scrub', '--deep')).stdout, /\nsound +all of it\n$/);
  const manifest = await (await fetch(`${berth.url}/v2/team/app/manifests/${digest}`)).json();
  const { digest: layer } = (manifest as { layers: { digest: string }[] }).layers[0] ?? { digest: '' };
  const file = blobFiles(berth).find((path) => path.includes(layer.slice(7))) ?? '';
  const bytes = await readFile(file);
  bytes[1000] = (bytes[1000] ?? 0) ^ 1;
  await writeFile(file, bytes);

  assert.equal((await command('scrub')).code, 0, 'the length is right');
  const found = await command('scrub', '--deep');
  assert.equal(found.code, 3, found.stdout + found.stderr);
  assert.match(
    found.stdout,
    new RegExp(
      `\\nDamaged blobs:\\n {2}${layer} .*\\n {4}team/app: v1\\n {4}to heal: push team/app:v1 again `,
    ),
  );
  assert.match(found.stdout, new RegExp(`podman push localhost:${berth.port}/team/app:v1,`));
  assert.equal((await command('scrub', '-q')).stdout, `${layer}\n`);
  const head = await fetch(`${berth.url}/v2/team/app/blobs/${layer}`, { method: 'HEAD' });
  assert.equal(head.status, 404);

  assert.equal(await push(home, berth, image, 'team/app:v1'), digest);
  const healed = await command('scrub', '--deep');
  assert.deepEqual([healed.code, /sound +all of it/.test(healed.stdout)], [0, true], healed.stdout);
  await pullEverything(berth.url);
});

test('a quota refuses a push with a sentence that podman shows', { skip }, async (t) => {
  const { berth, home, command } = await start(t);
  const small = await buildImage(home, 'small', 100_000);
  const large = await buildImage(home, 'large', 5_000_000);
  await push(home, berth, small, 'team/app:small');
  const set = await command('quota', 'set', 'team', '--size', '2MiB');
  assert.deepEqual([set.code, set.stderr], [0, '']);
  assert.match(set.stdout, /^team: at most 2\.0 MiB, repositories: unlimited; \d+\.?\d* KiB used\n$/);
  const refused = await pushFails(home, berth, large, 'team/app:large');
  assert.match(
    refused,
    /denied: namespace team uses \S+ KiB of its quota of 2\.0 MiB, and \S+ MiB more do not fit: delete /,
  );
  await push(home, berth, small, 'team/app:again');
  await push(home, berth, large, 'other/app:large');
  assert.match(
    (await command('quota', 'show', 'team')).stdout,
    /\nteam +\S+ KiB +2\.0 MiB +1 +unlimited +quota\n/,
  );
  await command('quota', 'set', 'team', '--repositories', '1');
  assert.match(
    await pushFails(home, berth, small, 'team/second:1'),
    /denied: namespace team has 1 of 1 repositories/,
  );
  assert.match((await command('quota', 'remove', 'team')).stdout, /^team: unlimited/);
  await push(home, berth, large, 'team/second:large');
});

test('a disk that is full: the push is refused, and after delete and gc --now it goes through', {
  skip,
}, async (t) => {
  const folder = join(await makeFolder(t, 'full'), 'disk');
  await mountMemory(t, 'size=40m', folder);
  const environment = { ...shortLease, BERTH_STORAGE_BALLAST: '4MiB', BERTH_STORAGE_KEEP_FREE: '8MiB' };
  const { berth, home, command } = await start(t, { dataFolder: join(folder, 'store'), environment });
  const large = await buildImage(home, 'large', 20_000_000);
  const other = await buildImage(home, 'other', 20_000_000);
  const digest = await push(home, berth, large, 'team/app:large');
  const files = blobFiles(berth);
  assert.match(await pushFails(home, berth, other, 'team/app:other'), /507|Insufficient Storage|disk/i);
  await remove(berth, `team/app/manifests/${digest}`);
  await pause(4);
  const freed = await command('gc', '--now');
  assert.match(freed.stdout, /^freed +19\.1 MiB \(2 blobs, 1 manifest\)/, freed.stderr);
  await soon('there is room', async () => {
    await command('gc', '--now');
    const ready = (await (await fetch(`${berth.url}/readyz`)).json()) as { writes: string };
    return ready.writes === 'accepted' && !blobFiles(berth).some((path) => files.includes(path));
  });
  await push(home, berth, other, 'team/app:other');
  assert.deepEqual([...(await pullEverything(berth.url)).keys()], ['team/app:other']);
});
