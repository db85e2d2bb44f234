// What people write behind the commands of care: what is to be deleted, and paths that are the server's.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { serverPath } from '../../src/cli/client/server-paths.ts';
import { wantedText } from '../../src/cli/commands/usage.ts';

test('a reference stands alone or behind its repository', () => {
  const digest = `sha256:${'ab'.repeat(32)}`;
  for (const [reference, wanted] of [
    ['v1', 'tag:v1'],
    [':v1', 'tag:v1'],
    ['alpine:v1', 'tag:v1'],
    ['alpine', 'tag:alpine'],
    ['alpine-3', 'tag:alpine-3'],
    [digest, digest],
    [`@${digest}`, digest],
    [`alpine@${digest}`, digest],
  ] as const)
    assert.equal(wantedText('alpine', reference), wanted);
});

describe('a path that the server uses', () => {
  const door = {
    host: 'nas:5000',
    address: 'nas:5000',
    target: { origin: 'http://x' },
    headers: {},
    credential: undefined,
  };
  const ends = { folder: undefined, close: async () => undefined };
  const paths = (kind: 'registry' | 'socket' | 'folder', path: string) => {
    let told = '';
    const stderr = { write: (text: string) => (told += text) };
    const context = { stderr, folder: '/home/ana' } as unknown as Parameters<typeof serverPath>[3];
    return [serverPath({ ...door, ...ends, kind }, path, 'PATH', context), told];
  };

  test('is absolute, and told apart from one of this machine', () => {
    assert.deepEqual(paths('folder', 'x'), ['/home/ana/x', '']);
    assert.deepEqual(paths('socket', '../x'), [
      '/home/x',
      "/home/x is a path of the server's, with the server's rights\n",
    ]);
    assert.deepEqual(paths('registry', '/x'), ['/x', '/x is a path on the machine of nas:5000\n']);
    assert.throws(() => paths('registry', 'x'), { code: 2 });
  });
});
