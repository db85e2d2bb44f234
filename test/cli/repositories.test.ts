// The commands about repositories: berth search, berth repo, and what happens to them when people and organizations go.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeTestFolder } from '../support/berth-command.ts';
import { pushImage } from '../support/client.ts';
import { commandLine } from '../support/command-line.ts';
import { startRegistry } from '../support/registry.ts';

const password = 'a-password-for-tests';
const authorization = `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`;

async function start(t: TestContext) {
  const registry = await startRegistry(t, {
    'access.mode': 'token',
    'access.adminPassword': password,
    'auth.password.bcryptCost': '10',
  });
  const folder = await makeTestFolder(t);
  const berth = commandLine({ data: registry.data, folder, homeFolder: folder });
  const push = (name: string, tag: string, seed = tag) =>
    pushImage(registry.url, name, tag, seed, { authorization });
  return { registry, berth, push, folder };
}

const rows = (table: string) =>
  table
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/));

test('berth repo makes, describes, lists and finds repositories', async (t) => {
  const { berth, push, folder, registry } = await start(t);
  assert.equal(
    await berth('repo', 'add', 'acme/web', '--description', 'The Shop'),
    'repository acme/web added: whoever has a grant can pull it\n',
  );
  const image = await push('acme/web', 'v1');
  await push('acme/db', 'v1', 'other');
  await writeFile(join(folder, 'README.md'), '# Web\n\nThe shop.\n');
  const link = 'Source=https://example.com/web';
  const labels = ['team=shop', 'tier=1'];
  assert.equal(
    await berth('repo', 'set', 'acme/web', '--readme', 'README.md', '--link', link, '--label', ...labels),
    'acme/web is private: whoever has a grant can pull it\n',
  );
  const shown = await berth('repo', 'show', 'acme/web');
  for (const line of [
    /^name +acme\/web$/m,
    /^description +The Shop$/m,
    /^labels +team=shop tier=1$/m,
    /^holds +1 tag, 1 manifest$/m,
    /^pushed +1 push, last /m,
    /^pulled +0 pulls$/m,
    /^link +Source: https:\/\/example\.com\/web$/m,
    /^readme +4 lines/m,
  ])
    assert.match(shown, line);
  const json = JSON.parse(await berth('repo', 'show', 'acme/web', '--json'));
  assert.equal(json.readme, '# Web\n\nThe shop.\n');
  const table = rows(await berth('repo', 'list', 'acme', '--sort', '-pushedAt'));
  assert.deepEqual(table[0], ['NAME', 'VISIBILITY', 'TAGS', 'SIZE', 'PUSHED', 'PULLS', 'LAST PULLED']);
  assert.deepEqual(
    table.slice(1).map(([name, visibility, tags]) => [name, visibility, tags]),
    [
      ['acme/db', 'private', '1'],
      ['acme/web', 'private', '1'],
    ],
  );
  assert.equal(await berth('repo', 'list', '-q'), 'acme/db\nacme/web\n');
  assert.equal(await berth('search', 'shop', '-q'), 'acme/web\n');
  assert.equal(await berth('search', '--label', 'team=shop', 'tier=1', '-q'), 'acme/web\n');
  const [head, found] = rows(await berth('search', '--digest', image.layer));
  assert.deepEqual(head, ['REPOSITORY', 'TAG', 'SINCE']);
  assert.deepEqual(found?.slice(0, 2), ['acme/web', 'v1']);
  const places = JSON.parse(await berth('search', '--digest', image.digest, '--json'));
  assert.deepEqual(
    places.items.map((one: { name: string; found: { tags: { name: string }[] } }) => [
      one.name,
      one.found.tags.map(({ name }) => name),
    ]),
    [['acme/web', ['v1']]],
  );
  const none = await berth.tries('search', 'nothing-like-it');
  assert.deepEqual([none.code, none.stdout, none.stderr], [0, '', 'nothing that you may see\n']);
  await berth('repo', 'set', 'acme/web', '--label', 'team=', '--readme', '', '--link', '');
  const cleared = JSON.parse(await berth('repo', 'show', 'acme/web', '--json'));
  assert.deepEqual([cleared.labels, cleared.readme, cleared.links], [{ tier: '1' }, '', []]);
  for (const [args, message] of [
    [['search'], /what to look for/],
    [['search', '--label', 'team'], /--label: found "team", allowed: key=value/],
    [['repo', 'set', 'acme/web'], /nothing to change/],
    [['repo', 'set', 'acme/web', '--link', 'x'], /--link: found "x", allowed: title=url/],
    [['repo', 'set', 'acme/web', '--readme', 'none.md'], /none\.md cannot be read/],
  ] as const) {
    const { code, stderr } = await berth.tries(...args);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, message);
  }
  assert.equal((await berth.tries('repo', 'add', 'acme/web')).code, 6);
  assert.equal((await berth.tries('repo', 'show', 'acme/none')).code, 5);
  await registry.close();
});

test('berth repo moves and removes, and tells of old names', async (t) => {
  const { berth, push } = await start(t);
  await push('acme/web', 'v1');
  assert.equal(await berth('repo', 'move', 'acme/web', 'lab/web'), 'acme/web is lab/web now\n');
  assert.deepEqual(rows(await berth('repo', 'alias', 'list', 'lab/web')), [
    ['OLD NAME', 'SERVED FOR'],
    ['acme/web', '90 days more'],
  ]);
  const taken = await berth.tries('repo', 'add', 'acme/web');
  assert.equal(taken.code, 6);
  assert.match(taken.stderr, /old name of lab\/web.*berth repo alias remove lab\/web acme\/web/);
  assert.equal((await berth.tries('repo', 'alias', 'remove', 'lab/web', 'acme/other', '--yes')).code, 5);
  assert.equal(await berth('repo', 'alias', 'remove', 'lab/web', 'acme/web', '--yes'), 'acme/web is free\n');
  const planned = await berth('repo', 'remove', 'lab/web', '--dry-run');
  assert.match(planned, /^lab\/web with 1 tag and 1 manifest would be deleted\. \d+ B come free/);
  assert.equal((await berth.tries('repo', 'remove', 'lab/web')).code, 2);
  assert.match(
    await berth('repo', 'remove', 'lab/web', '--yes'),
    /^lab\/web with 1 tag and 1 manifest deleted\./,
  );
  assert.equal((await berth.tries('repo', 'show', 'lab/web')).code, 5);
});

test('a user’s repositories go to another namespace, and an organization comes back', async (t) => {
  const { berth, push } = await start(t);
  await berth.withInput(password)('user', 'add', 'sam', '--password-stdin');
  await berth('org', 'add', 'acme');
  await push('sam/web', 'v1');
  const refused = await berth.tries('user', 'remove', 'sam', '--yes');
  assert.equal(refused.code, 6);
  const planned = await berth('user', 'remove', 'sam', '--transfer-to', 'acme', '--dry-run');
  assert.match(
    planned,
    /^sam\/web would become acme\/web\nuser sam and 1 repository \(moved to acme\) would be removed/,
  );
  const both = ['--transfer-to', 'acme', '--delete-repositories'];
  assert.equal((await berth.tries('user', 'remove', 'sam', ...both)).code, 2);
  const removed = await berth('user', 'remove', 'sam', '--transfer-to', 'acme', '--yes');
  assert.match(removed, /^user sam and 1 repository \(moved to acme\) removed/);
  assert.match(await berth('repo', 'show', 'acme/web'), /holds +1 tag/);
  await berth('org', 'remove', 'acme', '--yes');
  assert.equal((await berth.tries('repo', 'show', 'acme/web')).code, 5);
  assert.equal(
    await berth('org', 'restore', 'acme'),
    'organization acme is back with 1 repository. Its grants, teams and robots are not\n',
  );
  assert.match(await berth('repo', 'show', 'acme/web'), /holds +1 tag/);
  assert.equal((await berth.tries('org', 'restore', 'acme')).code, 5);
});
