// Token scopes: what clients ask for, and the canonical text that the challenge carries.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { formatScope, parseScope } from '../../src/oci/scope.ts';
import { anyCharacter } from '../support/characters.ts';

const type = fc.string({ unit: fc.constantFrom(...'abcz09'), minLength: 1, maxLength: 10 });
const nameCharacters = [...'abz09-._/:@!#[]~'];
const name = fc.string({ unit: fc.constantFrom(...nameCharacters), minLength: 1, maxLength: 60 });
const action = fc.oneof(
  fc.constantFrom('pull', 'push', 'delete', '*', 'search'),
  fc.stringMatching(/^[a-z]{1,8}$/),
);
const actions = fc.uniqueArray(action, { minLength: 1, maxLength: 6 });

describe('scopes', () => {
  test('type, name and actions come back, whatever the name holds and however the actions are ordered', () => {
    fc.assert(
      fc.property(type, name, actions, fc.option(type), (someType, someName, someActions, someClass) => {
        const kind = someClass === null ? someType : `${someType}(${someClass})`;
        const scope = parseScope(`${kind}:${someName}:${someActions.join(',')}`);
        assert.equal(scope?.type, someType);
        assert.equal(scope?.name, someName);
        assert.deepEqual([...(scope?.actions ?? [])].sort(), [...someActions].sort());
      }),
    );
  });

  test('the canonical text does not depend on order, repetition or class, and reads back to itself', () => {
    fc.assert(
      fc.property(name, actions, fc.nat(), (someName, someActions, turn) => {
        const at = turn % someActions.length;
        const turned = [...someActions.slice(at), ...someActions.slice(0, at), ...someActions];
        const one = parseScope(`repository:${someName}:${someActions.join(',')}`);
        const other = parseScope(`repository(plugin):${someName}:${turned.join(',')}`);
        assert.ok(one !== undefined && other !== undefined);
        assert.equal(formatScope(one), formatScope(other));
        assert.deepEqual(parseScope(formatScope(one)), one);
      }),
    );
  });

  test('what the clients send is understood', () => {
    const read = (text: string) => {
      const scope = parseScope(text);
      return scope && [scope.type, scope.name, scope.actions];
    };
    assert.deepEqual(read('repository:a/b:push,pull'), ['repository', 'a/b', ['pull', 'push']]);
    assert.deepEqual(read('repository:localhost:5000/a:pull'), ['repository', 'localhost:5000/a', ['pull']]);
    assert.deepEqual(read('repository(plugin):a/b:pull'), ['repository', 'a/b', ['pull']]);
    assert.deepEqual(read('registry:catalog:*'), ['registry', 'catalog', ['*']]);
    assert.deepEqual(read('repository:a:*,delete,zap,push,pull,apply'), [
      'repository',
      'a',
      ['pull', 'push', 'delete', '*', 'apply', 'zap'],
    ]);
    assert.equal(
      formatScope({ type: 'repository', name: 'a/b', actions: ['push', 'pull', 'push'] }),
      'repository:a/b:pull,push',
    );
  });

  test('what is not a scope is undefined', () => {
    const wrong = [
      '',
      ':',
      '::',
      'repository',
      'repository:a',
      'repository::pull',
      ':a:pull',
      'repository:a:',
      'repository:a:,',
    ];
    const worse = [
      'repository:a:pull,',
      'repository:a:,pull',
      'repository:a:Pull',
      'repository:a b:pull',
      'a"b:c:pull',
      'repository:a"b:pull',
    ];
    const worst = [
      'repository:a\\b:pull',
      'repository:a\n:pull',
      'repository():a:pull',
      'repository(a:b:pull',
      'repository:ä:pull',
    ];
    for (const text of [
      ...wrong,
      ...worse,
      ...worst,
      ' repository:a:pull',
      `repository:${'a'.repeat(2000)}:pull`,
    ]) {
      assert.equal(parseScope(text), undefined, JSON.stringify(text));
    }
  });

  test('no text makes it throw, and what it accepts can stand between the quotes of a challenge', () => {
    const nearly = fc.string({
      unit: fc.constantFrom('repository', ':', ',', 'pull', '(', ')', '*', '"', '\\', ' ', 'a'),
      maxLength: 12,
    });
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: anyCharacter }), nearly), (text) => {
        const scope = parseScope(text);
        if (scope !== undefined) assert.match(formatScope(scope), /^[!#-[\]-~]+$/);
      }),
      { numRuns: 3000 },
    );
  });
});
