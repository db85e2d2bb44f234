// The rules of giving: objects of grants, notes on them, and the bounds and ends of tokens.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { InvalidNameError } from '../../src/auth/account-name.ts';
import { notesOnObject, parseGrantObject, refusalOfRole } from '../../src/auth/granting.ts';
import { boundsOf, expiryOf } from '../../src/auth/token-issuing.ts';
import { parseRepositoryName } from '../../src/oci/name.ts';

const refused = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof InvalidNameError);
  assert.match(error.message, message);
  return true;
};

describe('the object of a grant', () => {
  test('lies in the namespace it is given in', () => {
    for (const object of ['acme/web', 'acme/web-*', 'acme/*/app', 'acme/**']) {
      assert.equal(parseGrantObject(object, 'acme'), object);
    }
    for (const object of ['library/**', 'alpine']) assert.equal(parseGrantObject(object, 'library'), object);
    for (const object of ['shop/web', 'evil-acme/x', 'acme2/**', 'acmeweb']) {
      assert.throws(() => parseGrantObject(object, 'acme'), refused(/begin with acme\//));
    }
    assert.throws(() => parseGrantObject('acme', 'acme'), refused(/did you mean acme\/\*\*\?/));
    assert.throws(() => parseGrantObject('**', 'acme'), refused(/administrators give it/));
    assert.throws(() => parseGrantObject('acme/**', undefined), refused(/in its namespace/));
    assert.equal(parseGrantObject('**', undefined), '**');
  });

  test('may leave out what a person meant, which is said', () => {
    const repositories = ['acme/web', 'acme/web/a', 'acme/web/b', 'acme/x/y', 'acme/x/z'].map(
      parseRepositoryName,
    );
    assert.deepEqual(notesOnObject('acme/**', repositories, false), []);
    assert.deepEqual(notesOnObject('acme/web', repositories, false), []);
    assert.deepEqual(notesOnObject('acme/*', repositories, false), [
      'acme/* leaves out 4 repositories one level down (acme/web/a, acme/web/b, acme/x/y, …): acme/** takes them',
    ]);
    assert.deepEqual(notesOnObject('acme/*', [parseRepositoryName('acme/x/y/z')], false), [
      'acme/* leaves out 1 repository further down (acme/x/y/z): acme/** takes them',
    ]);
    assert.match(notesOnObject('acme', [], true)[0] ?? '', /did you mean acme\/\*\*/);
    assert.deepEqual(notesOnObject('alpine', [], false), []);
  });

  test('is for anonymous to read only', () => {
    assert.equal(refusalOfRole({ kind: 'anonymous', name: 'anonymous' }, 'read'), undefined);
    assert.match(
      refusalOfRole({ kind: 'anonymous', name: 'anonymous' }, 'write') ?? '',
      /only be given read/,
    );
    assert.equal(refusalOfRole({ kind: 'authenticated', name: 'authenticated' }, 'write'), undefined);
  });
});

describe('the end of a token', () => {
  const day = 86_400;
  const settings = { defaultExpiry: 90 * day, longestExpiry: 365 * day };
  const endless = { defaultExpiry: Number.POSITIVE_INFINITY, longestExpiry: Number.POSITIVE_INFINITY };

  test('is what was asked for, within the settings', () => {
    assert.equal(expiryOf(undefined, 1000, settings), 1000 + 90 * day);
    assert.equal(expiryOf(2000, 1000, settings), 2000);
    assert.equal(expiryOf(1000 + 365 * day + 60, 1000, settings), 1000 + 365 * day + 60, 'clocks differ');
    assert.equal(expiryOf(undefined, 1000, endless), undefined);
    assert.equal(expiryOf(null, 1000, endless), undefined);
    assert.throws(() => expiryOf(null, 1000, settings), refused(/365 days at the latest/));
    assert.throws(() => expiryOf(1000 + 400 * day, 1000, settings), refused(/365 days at the longest/));
    assert.throws(() => expiryOf(1000, 1000, settings), refused(/to come/));
  });
});

describe('the bounds of a token', () => {
  test('are no wider than those of the credential that asks', () => {
    const asked = (role: 'read' | 'admin' | undefined, ...patterns: string[]) => ({
      role,
      patterns: patterns.length === 0 ? undefined : patterns,
    });
    assert.deepEqual(boundsOf(asked('admin'), undefined), { role: 'admin', patterns: undefined });
    assert.deepEqual(boundsOf({ role: 'read', patterns: [] }, undefined), {
      role: 'read',
      patterns: undefined,
    });
    const giver = { role: 'maintain', patterns: ['acme/**'] } as const;
    assert.deepEqual(boundsOf(asked('read', 'acme/web'), giver), { role: 'read', patterns: ['acme/web'] });
    assert.throws(() => boundsOf(asked('admin', 'acme/web'), giver), refused(/role maintain.*not admin/));
    assert.throws(() => boundsOf(asked(undefined, 'acme/web'), giver), refused(/not no bound/));
    assert.throws(() => boundsOf(asked('read'), giver), refused(/not \*\*/));
    assert.throws(
      () => boundsOf(asked('read', 'acme/web', 'evil-acme/x'), giver),
      refused(/not evil-acme\/x/),
    );
    assert.throws(() => boundsOf(asked('read', '*/x'), undefined), refused(/no pattern/));
  });

  test('an empty list of patterns is no way round them', () => {
    const giver = { role: undefined, patterns: ['acme/**'] };
    assert.throws(() => boundsOf({ role: 'read', patterns: [] }, giver), refused(/not \*\*/));
  });
});
