// `berth tag` and `berth deleted` against a running server, through its socket and over its address.
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { findPast } from '../../src/cli/commands/tag-changes.ts';
import { pushImage } from '../support/client.ts';
import { type CommandLine, commandLine } from '../support/command-line.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

describe('berth tag and berth deleted', () => {
  const endings: (() => unknown)[] = [];
  let registry: TestRegistry;
  let berth: CommandLine;
  before(async () => {
    const later = { after: (end: () => unknown) => endings.push(end) } as unknown as TestContext;
    registry = await startRegistry(later);
    berth = commandLine({ data: registry.data });
  });
  after(async () => {
    for (const end of endings.reverse()) await end();
  });
  const push = async (name: string, tag: string, seed = tag) =>
    (await pushImage(registry.url, name, tag, seed)).digest;

  test('list shows a table, what one asks for, and manifests without a tag', async () => {
    const digest = await push('list/web', 'v1.2');
    await push('list/web', 'v1.10');
    await push('list/web', 'lost');
    await berth('tag', 'remove', 'list/web:lost', '--yes');
    const table = await berth('tag', 'list', 'list/web', '--sort', 'version');
    const [head, first, second] = table.split('\n').map((line) => line.split(/ {2,}/));
    assert.deepEqual(head, ['TAG', 'DIGEST', 'PLATFORMS', 'SIZE', 'PUSHED', 'PULLED']);
    assert.deepEqual([first?.[0], second?.slice(0, 3)], ['v1.10', ['v1.2', digest, 'linux/amd64']]);
    assert.equal(second?.[5], 'never');
    assert.equal(await berth('tag', 'ls', 'list/web', '-q', '--match', '*.1?'), 'v1.10\n');
    const { items } = JSON.parse(await berth('tag', 'list', 'list/web', '--json', '--unsigned'));
    assert.equal(items.length, 2);
    assert.match(
      await berth('tag', 'list', 'list/web', '--untagged'),
      /^DIGEST +PLATFORMS +SIZE +PUSHED +PULLED +BELONGS TO\nsha256:/,
    );
    const host = registry.url.replace('http://', '');
    assert.equal(await berth('tag', 'list', `${host}/list/web`, '-q', '--sort', 'version'), 'v1.10\nv1.2\n');
    assert.equal((await berth.tries('tag', 'list', 'list/none')).code, 5);
    assert.equal((await berth.tries('tag', 'list', 'list/web:v1')).code, 2);
    assert.equal((await berth.tries('tag', 'list', 'list/web', '--untagged', '--sort', 'size')).code, 2);
  });

  test('set, copy, history and restore', async () => {
    const one = await push('move/web', 'v1');
    const two = await push('move/web', 'v2');
    assert.equal(
      await berth('tag', 'set', 'move/web:stable', one),
      `move/web:stable points at ${one} (new)\n`,
    );
    assert.equal(await berth('tag', 'set', 'move/web:stable', 'v2', '-q'), `${two}\n`);
    assert.equal(
      await berth('tag', 'set', 'move/web:stable', 'v2'),
      `move/web:stable points at ${two} already\n`,
    );
    assert.equal((await berth.tries('tag', 'set', 'move/web:stable', one, '--create')).code, 6);
    assert.match(await berth('tag', 'set', 'move/web:stable', one, '--dry-run'), /would point at/);
    assert.match(
      await berth('tag', 'copy', 'move/web:v1', 'move/prod:v1'),
      new RegExp(
        `^move/prod:v1 points at ${one} \\(new\\)\ncopied  1 manifest, \\d+ B that it did not have\n$`,
      ),
    );
    assert.equal((await berth.tries('tag', 'copy', 'move/web', 'move/prod:v1')).code, 2);
    assert.match(
      (await berth.tries('tag', 'copy', 'move/web:v1', 'other.example.com/x:v1')).stderr,
      /skopeo copy/,
    );
    await berth('tag', 'remove', 'move/web:stable', '--yes');
    const past = (await berth('tag', 'history', 'move/web:stable'))
      .split('\n')
      .map((line) => line.split(/ {2,}/));
    assert.deepEqual(
      past.slice(0, 4).map((row) => row[1]),
      ['WHAT', 'delete', 'retag', 'retag'],
    );
    assert.match(await berth('tag', 'restore', 'move/web:stable'), new RegExp(`points at ${two}`));
    assert.match(await berth('tag', 'restore', 'move/web:stable'), new RegExp(`points at ${one}`));
    assert.match(await berth('tag', 'restore', 'move/web:stable', '--to', two.slice(0, 20)), new RegExp(two));
    assert.equal((await berth.tries('tag', 'restore', 'move/web:stable', '--to', '2d')).code, 5);
    assert.equal((await berth.tries('tag', 'restore', 'move/web:stable', '--to', 'yesterday')).code, 2);
    assert.equal((await berth.tries('tag', 'restore', 'move/web:v1')).code, 5);
    assert.equal((await berth.tries('tag', 'restore', 'move/web')).code, 2);
  });

  test('remove by name, and by pattern and age, asks before', async () => {
    const digest = await push('many/web', 'v1');
    for (const tag of ['pr-1', 'pr-2']) await berth('tag', 'set', `many/web:${tag}`, digest);
    assert.equal((await berth.tries('tag', 'remove', 'many/web:v1')).code, 2);
    assert.equal((await berth.tries('tag', 'remove', 'many/web', '--pushed-before', '30d', '--yes')).code, 2);
    assert.match(
      (await berth.tries('tag', 'remove', 'many/web', '--match', 'pr-*', '--pushed-before', '30d', '--yes'))
        .stderr,
      /no tag fits/,
    );
    const foreseen = await berth('tag', 'remove', 'many/web', '--match', 'pr-*', '--dry-run');
    assert.equal(foreseen, 'many/web:pr-1 would be removed\nmany/web:pr-2 would be removed\n');
    assert.match(
      (await berth.tries('tag', 'remove', 'many/web', '--match', 'pr-*')).stderr,
      /Remove 2 tags of many\/web\?/,
    );
    assert.equal(await berth('tag', 'remove', 'many/web', '--match', 'pr-*', '--yes', '-q'), 'pr-1\npr-2\n');
    assert.equal(await berth('tag', 'remove', 'many/web:v1', '--dry-run'), 'many/web:v1 would be removed\n');
    assert.equal((await berth.tries('tag', 'remove', 'many/web:none', '--yes')).code, 5);
  });

  test('deprecate warns whoever pulls', async () => {
    await push('old/web', 'v1');
    await berth('tag', 'deprecate', 'old/web:v1', '--message', 'too old', '--replacement', 'old/web:v2');
    assert.match(await berth('tag', 'list', 'old/web'), /NOTES\n.*deprecated: too old; use old\/web:v2/);
    const warning = async () =>
      (await fetch(`${registry.url}/v2/old/web/manifests/v1`)).headers.get('warning');
    assert.match((await warning()) ?? '', /too old/);
    await berth('tag', 'deprecate', 'old/web:v1', '--remove');
    await berth('tag', 'deprecate', 'old/web', '--message', 'moved');
    assert.match((await warning()) ?? '', /moved/);
    await berth('tag', 'deprecate', 'old/web', '--remove');
    assert.equal(await warning(), null);
    assert.equal((await berth.tries('tag', 'deprecate', 'old/web:v1')).code, 2);
  });

  test('a deleted repository is listed, and comes back under its name or another', async () => {
    await push('whole/web', 'v1');
    await berth('repo', 'remove', 'whole/web', '--yes');
    const [id = ''] = (await berth('deleted', 'list', '-q')).split('\n');
    assert.match(id, /^repository-\d+$/);
    assert.match(await berth('deleted', 'list', 'whole/web'), new RegExp(`\n${id} +whole/web `));
    assert.equal(await berth('deleted', 'restore', id, '--dry-run'), 'whole/web would come back\n');
    await push('whole/web', 'v2');
    const refused = await berth.tries('deleted', 'restore', id);
    assert.equal(refused.code, 6);
    assert.match(refused.stderr, new RegExp(`berth deleted restore ${id} --as NAME`));
    assert.equal((await berth.tries('deleted', 'restore', 'tag-1', '--as', 'whole/old')).code, 2);
    assert.equal(await berth('deleted', 'restore', id, '--as', 'whole/old'), 'whole/old is back\n');
    assert.equal(await berth('tag', 'list', 'whole/old', '-q'), 'v1\n');
    await berth('repo', 'remove', 'whole/old', '--yes');
    assert.equal(await berth('deleted', 'restore', id, '-q'), 'whole/old\n');
    await berth('repo', 'remove', 'whole/old', '--yes');
    assert.match(await berth('deleted', 'purge', id, '--yes'), /^gave up/);
    assert.equal((await berth.tries('deleted', 'restore', id)).code, 5);
  });

  test('deleted list, restore and purge', async () => {
    const digest = await push('gone/web', 'v1');
    const other = await push('gone/web', 'v2');
    await push('gone/web', 'v3');
    await berth('tag', 'remove', 'gone/web:v3', '--yes');
    for (const each of [digest, other])
      await fetch(`${registry.url}/v2/gone/web/manifests/${each}`, { method: 'DELETE' });
    const table = (await berth('deleted', 'list', 'gone/web')).split('\n').map((line) => line.split(/ {2,}/));
    assert.deepEqual(table[0], ['ID', 'WHAT', 'TAGS', 'SIZE', 'DELETED', 'BY', 'UNTIL']);
    assert.deepEqual(
      table.slice(1, 4).map((row) => row[1]),
      [`gone/web@${other}`, `gone/web@${digest}`, 'gone/web:v3'],
    );
    const [two = '', one = '', tag = ''] = (await berth('deleted', 'list', 'gone/web', '-q')).split('\n');
    assert.match(await berth('deleted', 'restore', one, '--dry-run'), /would come back/);
    assert.equal(await berth('deleted', 'restore', one), `gone/web@${digest} is back\ngone/web:v1 is back\n`);
    assert.equal(await berth('deleted', 'restore', tag), 'gone/web:v3 is back\n');
    assert.equal((await berth.tries('deleted', 'restore', one)).code, 5);
    assert.equal((await berth.tries('deleted', 'purge')).code, 2);
    assert.equal(await berth('deleted', 'purge', two, '--dry-run'), `${two} would be given up\n`);
    assert.equal(
      await berth('deleted', 'purge', '--all', '--yes'),
      'gave up 1 deleted thing; berth gc frees the bytes\n',
    );
    assert.match((await berth.tries('deleted', 'list', 'gone/web')).stderr, /nothing was deleted/);
  });
});

describe('what restore goes back to', () => {
  const entry = (digest: string | null, at: string) => ({
    digest,
    at,
    previousDigest: null,
    action: 'push',
    actor: 'ana',
    state: 'live' as const,
    restorableUntil: null,
  });
  const [a, b] = [`sha256:${'a'.repeat(64)}`, `sha256:${'b'.repeat(64)}`];
  const past = [
    entry(b, '2026-05-03T00:00:00.000Z'),
    entry(null, '2026-05-02T00:00:00.000Z'),
    entry(a, '2026-05-01T00:00:00.000Z'),
  ];
  test('the one before, a digest of the past, or a time', () => {
    assert.equal(findPast(past, 'x:y', undefined), a);
    assert.equal(findPast(past.slice(1), 'x:y', undefined), a);
    assert.equal(findPast(past, 'x:y', 'sha256:bb'), b);
    assert.equal(findPast(past, 'x:y', '2026-05-01T12:00:00Z'), a);
    assert.equal(findPast(past, 'x:y', '2026-06-01'), b);
    for (const to of ['2026-05-02T12:00:00Z', '2026-04-01', 'sha256:cc']) {
      assert.throws(() => findPast(past, 'x:y', to), /berth tag history x:y/);
    }
    assert.throws(() => findPast(past.slice(2), 'x:y', undefined), /never pointed at anything else/);
  });
});
