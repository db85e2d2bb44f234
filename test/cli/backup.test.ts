// Backups as one looks at them and restores them without a server: real processes on folders.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { mkdir, readFile, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { backUp } from '../support/backups.ts';
import { makeTestFolder, runCommand, startCommand } from '../support/berth-command.ts';
import { pushImage } from '../support/client.ts';
import { pullEverything } from '../support/pull.ts';
import { startRegistry } from '../support/registry.ts';

/** A folder with two backups of a registry with two images. */
async function makeBackups(t: TestContext) {
  const folder = await makeTestFolder(t);
  const backups = join(folder, 'backups');
  const registry = await startRegistry(t);
  await pushImage(registry.url, 'team/app', 'v1');
  const first = await backUp(registry.registry, backups, { unixSeconds: () => 1_700_000_000 });
  const image = await pushImage(registry.url, 'team/app', 'v2');
  const second = await backUp(registry.registry, backups);
  const pulled = await pullEverything(registry.url);
  const berth = (...args: string[]) => runCommand(t, ['backup', ...args], { folder });
  return { folder, backups, berth, names: [first.name, second.name], image, pulled };
}

async function flipByte(backups: string, digest: string): Promise<void> {
  const names = readdirSync(backups, { recursive: true, encoding: 'utf8' });
  const path = join(backups, names.find((name) => name.endsWith(digest.slice(7))) ?? '');
  const bytes = await readFile(path);
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  // A new file: the old one is the registry's, too.
  await unlink(path);
  await writeFile(path, bytes);
}

describe('berth backup without a server', { concurrency: 2 }, () => {
  test('lists what is in a folder, and says where nothing is', async (t) => {
    const { berth, names, backups, folder } = await makeBackups(t);
    const listed = await berth('list', 'backups');
    assert.equal(listed.code, 0);
    const [head = '', ...rows] = listed.stdout.trimEnd().split('\n');
    assert.match(head, /^BACKUP +MADE +BY +BERTH +REPOSITORIES +TAGS +BLOBS +SIZE +DAMAGED$/);
    assert.deepEqual(
      rows.map((row) => row.split(/ {2,}/)[0]),
      names,
    );
    assert.match(rows[0] ?? '', / years ago +here \([0-9a-f]{8}\) +test +1 +1 +\d+ +\S+ \S*B$/);
    assert.equal((await berth('ls', backups, '-q')).stdout, `${names.join('\n')}\n`);
    const { items } = JSON.parse((await berth('list', backups, '--json')).stdout);
    assert.deepEqual([items.length, items[1].tags], [2, 2]);
    const absent = await berth('list', 'nowhere');
    assert.deepEqual([absent.code, absent.stderr], [5, `berth: ${join(folder, 'nowhere')} does not exist\n`]);
    await mkdir(join(folder, 'empty'));
    assert.deepEqual((await berth('verify', 'empty')).code, 5);
    const unknown = await berth('verify', backups, 'another');
    assert.deepEqual([unknown.code, unknown.stderr], [5, `berth: ${backups} has no backup another\n`]);
  });

  test('shows one that is unreadable, names it at each turn, and removes it when told to', async (t) => {
    const { berth, names, backups } = await makeBackups(t);
    const [first = '', second = ''] = names;
    await unlink(join(backups, 'backups', first, 'backup.json'));
    const listed = await berth('list', backups);
    assert.equal(listed.code, 3);
    assert.match(listed.stdout, new RegExp(`\\n${first} .* unreadable: it has no backup\\.json\\n`));
    assert.match(
      listed.stderr,
      /^one that is unreadable may need any of the blobs: .* Until then none is removed\n$/,
    );
    const { items } = JSON.parse((await berth('list', backups, '--json')).stdout);
    assert.deepEqual(items[0], { name: first, unreadable: 'it has no backup.json' });
    const verified = await berth('verify', backups);
    assert.deepEqual(
      [verified.code, verified.stdout.includes(`damaged  ${first}  it has no backup.json\n`)],
      [3, true],
    );
    const restored = await berth('restore', backups, '--data', 'new', '--name', first);
    assert.deepEqual(
      [restored.code, restored.stderr],
      [1, `berth: the backup ${first} cannot be restored: it has no backup.json\n`],
    );

    const refused = await berth('remove', backups, second, '--yes');
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      new RegExp(`nothing was removed: nobody can tell which blobs the backup ${first} needs`),
    );
    const unsure = await berth('remove', backups, first);
    assert.deepEqual([unsure.code, unsure.stdout], [2, '']);
    assert.match(unsure.stderr, /Remove 1 backup of .*; 1 would stay\? There is no terminal .* --yes\n$/);
    const unknown = await berth('remove', backups, 'another', '--yes');
    assert.deepEqual([unknown.code, unknown.stderr], [5, `berth: ${backups} has no backup another\n`]);
    assert.match(
      (await berth('rm', backups, first, '--dry-run')).stdout,
      /^would remove 1 backup of .*; 1 would stay\n$/,
    );
    assert.equal((await berth('list', backups, '-q')).stdout, `${first}\n${second}\n`);
    const removed = await berth('remove', backups, first, '--yes');
    assert.match(removed.stdout, /^removed 1 backup, 0 blobs \(0 B\); 1 left\n$/);
    assert.equal((await berth('list', backups, '-q')).stdout, `${second}\n`);
    assert.equal((await berth('verify', backups)).code, 0);
  });

  test('verifies all of it, and ends with 3 where something is damaged', async (t) => {
    const { berth, names, backups, image } = await makeBackups(t);
    const good = await berth('verify', backups);
    assert.deepEqual([good.code, good.stderr], [0, '']);
    assert.match(good.stdout, /^verified 2 backups, \d+ blobs \(.*\) in .*\nall of it is good\n$/);
    await flipByte(backups, image.layer);
    const bad = await berth('verify', backups);
    assert.equal(bad.code, 3);
    assert.match(
      bad.stdout,
      new RegExp(
        `\\ndamaged {2}${names[1]} {2}${image.layer}: other content.*\\n {2}team/app: v2\\n1 fault\\n$`,
      ),
    );
    assert.equal((await berth('verify', backups, '-q')).stdout, `${image.layer}\n`);
    assert.equal((await berth('verify', backups, names[0] ?? '')).code, 0);
    const { faults } = JSON.parse((await berth('verify', backups, '--json')).stdout);
    assert.equal(faults[0].digest, image.layer);
  });

  test('restores into a new folder, which a server serves at once', async (t) => {
    const { berth, backups, folder, names, pulled } = await makeBackups(t);
    const restored = await berth('restore', backups, '--data', 'new');
    assert.deepEqual([restored.code, restored.stderr], [0, '']);
    const data = join(folder, 'new');
    assert.match(
      restored.stdout,
      new RegExp(`^restored ${names[1]} .* into ${data}: 1 repository, 2 tags, `),
    );
    assert.match(restored.stdout, new RegExp(`\\nstart it with berth serve --data ${data}\\n$`));
    assert.equal((await stat(data)).mode & 0o077, 0);
    const server = await startCommand(t, ['serve', '--port', '0', '--data', data]);
    const [, url = ''] = await server.untilPrinted(/listening on (http:\S+)/);
    assert.deepEqual(await pullEverything(url), pulled);

    const again = await berth('restore', backups, '--data', 'new');
    assert.deepEqual([again.code, again.stdout], [6, '']);
    assert.match(
      again.stderr,
      /new holds something \(.*\): restore into a new folder \(nothing was changed\)/,
    );
    const older = await berth('restore', backups, '--data', 'old', '--name', names[0] ?? '', '--json');
    assert.equal(JSON.parse(older.stdout).backup.tags, 1);
  });

  test('restores what is good of a damaged backup and ends with 3', async (t) => {
    const { berth, backups, image } = await makeBackups(t);
    await flipByte(backups, image.layer);
    const { code, stdout } = await berth('restore', backups, '--data', 'new', '--copy');
    assert.equal(code, 3);
    assert.match(stdout, new RegExp(`\\ndamaged {2}${image.layer}: other content; answered 404 `));
  });

  test('tells how far it is, and ends with Ctrl-C', async (t) => {
    const { backups, folder, image } = await makeBackups(t);
    // Eight GiB of nothing take a while to read.
    const names = readdirSync(backups, { recursive: true, encoding: 'utf8' });
    const blob = join(backups, names.find((name) => name.endsWith(image.layer.slice(7))) ?? '');
    await unlink(blob);
    await writeFile(blob, '');
    await truncate(blob, 8 * 1024 ** 3);
    const verifying = await startCommand(t, ['backup', 'verify', 'backups'], { folder });
    const [line] = await verifying.untilPrinted(/^\{.*\}\n/m);
    assert.deepEqual(Object.keys(JSON.parse(line)), [
      ...['kind', 'state', 'done', 'total', 'rate', 'remainingSeconds'],
    ]);
    const { code, stderr } = await verifying.end('SIGINT');
    assert.equal(code, 130);
    assert.match(stderr, /\nberth: interrupted: nothing was changed\n$/);
    const restoring = await startCommand(t, ['backup', 'restore', 'backups', '--copy', '--data', 'new'], {
      folder,
    });
    await restoring.untilPrinted(/^\{.*\}\n/m);
    const ended = await restoring.end('SIGINT');
    assert.equal(ended.code, 130);
    assert.match(ended.stderr, /new is half made, and no server starts on it: remove it\n$/);
    const served = await runCommand(t, ['serve', '--port', '0', '--data', 'new'], { folder });
    assert.equal(served.code, 1);
  });

  test('refuses to restore without a folder', async (t) => {
    const { code, stderr } = await runCommand(t, ['backup', 'restore', '/nowhere']);
    assert.deepEqual([code, stderr], [2, "berth: required option '--data <folder>' not specified\n"]);
  });
});
