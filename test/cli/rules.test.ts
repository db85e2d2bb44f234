// berth protect and berth retention against a server in this process.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { pushImage } from '../support/client.ts';
import { commandLine } from '../support/command-line.ts';
import { manualClock } from '../support/metadata.ts';
import { startRegistry, temporaryFolder } from '../support/registry.ts';

describe('berth protect', () => {
  test('adds, lists and removes rules, of a namespace and of the registry', async (t) => {
    const registry = await startRegistry(t);
    const berth = commandLine({ data: registry.data });
    await pushImage(registry.url, 'acme/web', 'v1');
    assert.equal(
      await berth('protect', 'add', 'acme/**', '--tags', 'v*', '--rule', 'immutable', '--dry-run'),
      'tags v* of acme/** would be immutable: 1 tag would be protected that is not now\n',
    );
    assert.match(await berth('protect', 'list', 'acme'), /^$/);
    assert.equal(
      await berth('protect', 'add', 'acme/**', '--tags', 'v*', '--rule', 'immutable'),
      'tags v* of acme/** are immutable from now on\n',
    );
    await berth('protect', 'add', 'acme/web', '--tags', 'latest', '--rule', 'no-delete');
    await berth(
      'protect',
      'add',
      '**',
      '--tags',
      '*-lts',
      '--rule',
      'immutable',
      '--exempt',
      'administrators',
    );
    await berth('protect', 'add', 'acme/*', '--tags', 'x', '--rule', 'create-only', '--namespace', 'system');
    const listed = await berth('protect', 'list', 'acme');
    assert.deepEqual(
      listed.split('\n').map((line) => line.replaceAll(/ {2,}/g, '|')),
      [
        'OBJECT|TAGS|RULE|EXEMPT|FROM',
        'acme/**|v*|immutable|acme',
        'acme/web|latest|no-delete|acme',
        '**|*-lts|immutable|administrators|the registry',
        'acme/*|x|create-only|the registry',
        '',
      ],
    );
    const refused = await berth.tries('protect', 'remove', 'acme/**', '--tags', 'x', '--yes');
    assert.equal(refused.code, 5);
    assert.match(refused.stderr, /acme has rules for acme\/\*\* v\*, acme\/web latest/);
    assert.equal((await berth.tries('protect', 'remove', 'acme/**', '--tags', 'v*')).code, 2);
    const dry = await berth('protect', 'remove', 'acme/**', '--tags', 'v*', '--dry-run');
    assert.equal(
      dry,
      'immutable of tags v* of acme/** would be removed: 1 tag would not be protected any more\n',
    );
    await assert.rejects(pushImage(registry.url, 'acme/web', 'v1', 'other'), /immutable/);
    await berth('protect', 'remove', 'acme/**', '--tags', 'v*', '--yes');
    await pushImage(registry.url, 'acme/web', 'v1', 'other');
    assert.equal(await berth('protect', 'list', '-q'), '** *-lts\nacme/* x\n');
  });

  test('refuses wrong usage with 2 before anything is tried', async () => {
    const berth = commandLine({ data: '/nowhere' });
    for (const args of [
      ['acme/**', '--tags', 'v{', '--rule', 'immutable'],
      ['acme/**', '--tags', 'v*', '--rule', 'frozen'],
      ['acme/**', '--tags', 'v*'],
      ['A/b', '--tags', 'v*', '--rule', 'immutable'],
      ['acme/**', '--tags', 'v*', '--rule', 'immutable', '--exempt', 'A b c'],
    ])
      assert.equal((await berth.tries('protect', 'add', ...args)).code, 2, args.join(' '));
  });
});

describe('berth retention', () => {
  test('sets rules from a file, previews, runs and reports', async (t) => {
    const clock = manualClock();
    const registry = await startRegistry(t, {}, { clock });
    const folder = await temporaryFolder(t);
    const berth = commandLine({ data: registry.data, folder });
    for (const tag of ['v1.0.0', 'v1.1.0', 'dev']) await pushImage(registry.url, 'acme/app', tag);
    await pushImage(registry.url, 'acme/web', 'old');
    clock.advance(3 * 86_400);
    const rules = 'policies:\n  - keepTags:\n      - patterns: ["^v"]\n        highestSemverCount: 1\n';
    await writeFile(join(folder, 'rules.yaml'), rules);
    await writeFile(join(folder, 'web.yaml'), 'deleteUntagged: true\n');
    const zot = { storage: { retention: { policies: [{ keepTags: [{ patterns: ['.*'] }] }] } } };
    await writeFile(join(folder, 'zot.json'), JSON.stringify(zot));
    assert.equal(
      (await berth.tries('retention', 'show', 'acme')).stderr,
      'acme has no rules: everything is kept\n',
    );
    assert.match(
      await berth('retention', 'set', 'acme', '--file', 'rules.yaml', '--dry-run'),
      /^acme: the rules would be set, 1 policy in acme, 1 of them new, and 0 policies would go; /,
    );
    assert.equal(await berth('retention', 'show', 'acme'), '');
    assert.match(
      await berth('retention', 'set', 'acme', '--file', 'rules.yaml'),
      /^acme: the rules are set, 1 policy in acme/,
    );
    await berth('retention', 'set', 'acme/web', '--file', 'web.yaml');
    const { policies } = JSON.parse(await berth('retention', 'show', 'acme', '--json'));
    assert.deepEqual(policies[0], { deleteUntagged: true, repositories: ['acme/web'] });
    assert.match(await berth('retention', 'show', 'acme/web'), /^policies:\n {2}- deleteUntagged: true/);
    const previewed = await berth('retention', 'preview', 'acme');
    assert.match(previewed, /^acme\/app:dev +sha256:\w{12} +goes +no pattern matches$/m);
    assert.match(previewed, /^acme\/app:v1\.0\.0 +sha256:\w{12} +goes +no rule keeps it$/m);
    assert.match(previewed, /^2 tags and 2 manifests would go, 2 tags stay; /m);
    assert.match(
      await berth('retention', 'preview', 'acme', '--kept'),
      /v1\.1\.0 .* stays +highestSemverCount$/m,
    );
    assert.equal(await berth('retention', 'preview', 'acme', '--file', 'zot.json', '-q'), '');
    assert.equal((await berth.tries('retention', 'run', 'acme')).code, 2);
    assert.match(await berth('retention', 'run', 'acme', '--dry-run'), /dry run: nothing was removed\n$/);
    assert.equal(await berth('retention', 'run', 'acme', '--yes', '-q'), '2\n');
    const [id = ''] = (await berth('retention', 'reports', 'acme', '-q')).split('\n');
    assert.match(
      await berth('retention', 'reports', 'acme', id),
      /2 tags and 2 manifests have gone, 2 tags stay/,
    );
    assert.match(
      await berth('operation', 'show', id),
      /kind +retention\n[\s\S]*2 tags and 2 manifests have gone/,
    );
    assert.equal(
      await berth('retention', 'remove', 'acme/web', '--dry-run'),
      'acme/web: the rules would be removed\n',
    );
    await berth('retention', 'remove', 'acme/web', '--yes');
    await berth('retention', 'remove', 'acme', '--yes');
    assert.equal((await berth.tries('retention', 'remove', 'acme', '--yes')).code, 5);
    assert.equal((await berth.tries('retention', 'run', 'acme', '--yes')).code, 6);
  });

  test('says what is wrong with a file', async (t) => {
    const registry = await startRegistry(t);
    const folder = await temporaryFolder(t);
    const berth = commandLine({ data: registry.data, folder });
    await pushImage(registry.url, 'acme/app', 'v1');
    const tries = async (text: string) => {
      await writeFile(join(folder, 'rules.yaml'), text);
      return await berth.tries('retention', 'set', 'acme', '--file', 'rules.yaml');
    };
    assert.equal((await berth.tries('retention', 'set', 'acme', '--file', 'none.yaml')).code, 2);
    assert.equal((await tries('- a')).code, 2);
    assert.equal((await tries('a: [')).code, 2);
    const wrong = await tries('policies: [{keepTags: [{patterns: ["*"]}]}]');
    assert.deepEqual([wrong.code, /It is no glob: write \.\*/.test(wrong.stderr)], [1, true], wrong.stderr);
  });
});
