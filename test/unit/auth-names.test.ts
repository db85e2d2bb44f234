// Names of accounts, robots and teams, and subjects of grants.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  formatSubject,
  InvalidNameError,
  isAccountName,
  parseAccountName,
  parseRobotName,
  parseSubject,
  parseTeamName,
} from '../../src/auth/account-name.ts';
import { greater, includesRole, lesser } from '../../src/auth/roles.ts';
import { roles } from '../../src/storage/account-store.ts';
import { anyCharacter } from '../support/characters.ts';

describe('account names', () => {
  test('are one component of a repository name, two to 64 characters', () => {
    for (const name of ['al', 'alice', 'a.b', 'a_b', 'a__b', 'a--b', '42', 'a'.repeat(64)])
      assert.equal(parseAccountName(name), name);
    const wrong = ['', 'a', 'Alice', 'al ice', 'a/b', 'a+b', '-a', 'a-', 'a..b', 'a___b', 'älice', 'a\0b'];
    for (const name of [...wrong, 'a'.repeat(65), 'a\n', ' alice', 'alice@example.com', '__proto__', '..'])
      assert.throws(() => parseAccountName(name), InvalidNameError, name);
  });

  test('some are reserved, by the program and by the configuration', () => {
    for (const name of [
      'library',
      'system',
      'admin',
      'root',
      'api',
      'token',
      'v2',
      'anonymous',
      'authenticated',
    ])
      assert.throws(() => parseAccountName(name), /is reserved/, name);
    assert.throws(() => parseAccountName('acme', ['acme']), /is reserved/);
    assert.equal(parseAccountName('acme', ['other']), 'acme');
    // Signing in is another matter: the first administrator has a reserved name.
    assert.ok(isAccountName('admin'));
  });

  test('the sentence of a refusal does not repeat a text of any length', () => {
    assert.throws(
      () => parseAccountName('X'.repeat(100_000)),
      (error: Error) => error.message.length < 400,
    );
  });
});

describe('robots, teams and subjects', () => {
  test('are read in their parts', () => {
    assert.deepEqual(parseRobotName('acme+ci'), { name: 'acme+ci', namespace: 'acme', robot: 'ci' });
    assert.deepEqual(parseRobotName('system+scanner').namespace, 'system');
    assert.deepEqual(parseTeamName('acme/dev'), { name: 'acme/dev', organization: 'acme', team: 'dev' });
    assert.deepEqual(parseSubject('team:acme/dev'), { kind: 'team', name: 'acme/dev' });
    assert.deepEqual(parseSubject('alice'), { kind: 'user', name: 'alice' });
    assert.deepEqual(parseSubject('anonymous'), { kind: 'anonymous', name: 'anonymous' });
    assert.deepEqual(parseSubject('authenticated'), { kind: 'authenticated', name: 'authenticated' });
  });

  test('a space is the plus that a form decoded', () => {
    assert.equal(parseRobotName('acme ci').name, 'acme+ci');
    assert.deepEqual(parseSubject('acme ci'), { kind: 'robot', name: 'acme+ci' });
  });

  test('what is written wrong is refused, a team without its prefix with a hint', () => {
    const robots = ['acme', '+ci', 'acme+', 'acme++ci', 'acme+ci+x', 'acme/x+ci', 'Acme+ci', 'acme+c i'];
    for (const text of robots) assert.throws(() => parseRobotName(text), InvalidNameError, text);
    for (const text of ['acme', '/dev', 'acme/', 'acme/dev/x', 'acme/De'])
      assert.throws(() => parseTeamName(text), InvalidNameError, text);
    assert.throws(() => parseSubject('acme/dev'), /team:acme\/dev/);
    for (const text of ['', 'team:', 'team:acme', 'user:alice', '*', 'a'])
      assert.throws(() => parseSubject(text), InvalidNameError, text);
  });

  test('a subject is written as it is read, and no text makes reading it fail in another way', () => {
    const near = fc.string({ unit: fc.constantFrom('team:', '+', '/', ' ', 'ab', 'c', '-'), maxLength: 8 });
    fc.assert(
      fc.property(fc.oneof(near, fc.string({ unit: anyCharacter })), (text) => {
        try {
          const found = parseSubject(text);
          assert.deepEqual(parseSubject(formatSubject(found)), found);
        } catch (error) {
          assert.ok(error instanceof InvalidNameError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

test('each role includes those before it, and none is less than read', () => {
  for (const [index, role] of roles.entries()) {
    for (const [other, needed] of roles.entries()) {
      assert.equal(includesRole(role, needed), index >= other);
      assert.equal(lesser(role, needed), roles[Math.min(index, other)]);
      assert.equal(greater(role, needed), roles[Math.max(index, other)]);
    }
    assert.equal(includesRole(undefined, role), false);
    assert.equal(lesser(undefined, role), undefined);
    assert.equal(greater(undefined, role), role);
  }
});
