// berth protect and berth retention against a server in this process.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pushImage } from '../support/client.ts';
import { commandLine } from '../support/command-line.ts';
import { startRegistry } from '../support/registry.ts';

describe('berth protect', () => {
  test('adds, lists and removes rules, of a namespace and of the registry', async (t) => {
    const registry = await startRegistry(t);
    const berth = commandLine({ data: registry.data });
    await pushImage(registry.url, 'acme/web', 'v1');
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
    assert.equal(dry, 'immutable of tags v* of acme/** would be removed\n');
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
