// Decisions: the outcome for each kind of principal on each kind of repository, in both access modes.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { Principal, RequestFacts } from '../../src/auth/access.ts';
import { openAccess } from '../../src/auth/open-access.ts';
import { Policy } from '../../src/auth/policy.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import {
  basic,
  bearer,
  makeToken,
  on,
  outcome,
  principal,
  reason,
  renew,
  sam,
  secret,
  tokenFor,
} from '../support/access-bench.ts';

const nothingMoved = { findMoved: async () => undefined };

beforeEach(renew);

describe('decisions', () => {
  test('what everybody has is not asked for', async () => {
    const nobody = await principal();
    assert.equal(await outcome(nobody, 'none'), 'allowed');
    assert.equal(await outcome(nobody, 'metrics'), 'allowed');
  });

  test('the ping: nobody is asked to sign in; a token for nobody is enough', async () => {
    assert.equal(await outcome(await principal(), 'ping'), 'unauthenticated');
    assert.equal(
      await outcome(await principal(bearer(await tokenFor(await principal()))), 'ping'),
      'allowed',
    );
    assert.equal(await outcome(await principal(basic('sam', secret)), 'ping'), 'allowed');
    assert.equal(
      await outcome(await principal(bearer(await tokenFor(await principal(basic('sam', secret))))), 'ping'),
      'allowed',
    );
  });

  test('the catalog: whoever signed in, and nobody with a token for it', async () => {
    const nobody = await principal();
    assert.equal(await outcome(nobody, 'catalog'), 'unauthenticated');
    assert.equal(
      await outcome(await principal(bearer(await tokenFor(nobody))), 'catalog'),
      'insufficient-scope',
    );
    assert.equal(
      await outcome(await principal(bearer(await tokenFor(nobody, 'registry:catalog:*'))), 'catalog'),
      'allowed',
    );
    assert.equal(await outcome(await principal(basic('sam', secret)), 'catalog'), 'allowed');
    assert.equal(
      await outcome(
        await principal(bearer(await tokenFor(await principal(basic('sam', secret))))),
        'catalog',
      ),
      'allowed',
    );
  });

  test('the search: whoever signed in; to nobody there is none', async () => {
    assert.equal(await outcome(await principal(), 'search'), 'hidden');
    assert.equal(
      await outcome(
        await principal(bearer(await tokenFor(await principal(), 'registry:catalog:*'))),
        'search',
      ),
      'hidden',
    );
    assert.equal(await outcome(await principal(basic('sam', secret)), 'search'), 'allowed');
  });

  test('nobody: public may be pulled, everything else is asked to sign in, whether it is there or not', async () => {
    const nobody = await principal();
    assert.equal(await outcome(nobody, 'pull', 'pub/x'), 'allowed');
    for (const [action, repository] of [
      ['push', 'pub/x'],
      ['delete', 'pub/x'],
      ['pull', 'int/x'],
      ['pull', 'joe/secret'],
      ['pull', 'joe/none'],
      ['push', 'joe/none'],
    ] as const)
      assert.equal(await outcome(nobody, action, repository), 'unauthenticated', `${action} ${repository}`);
    const token = await principal(bearer(await tokenFor(nobody, 'repository:pub/x:pull,push')));
    assert.equal(await outcome(token, 'pull', 'pub/x'), 'allowed');
    assert.equal(await outcome(token, 'push', 'pub/x'), 'unauthenticated');
    assert.equal(
      await outcome(await principal(bearer(await tokenFor(nobody))), 'pull', 'pub/x'),
      'insufficient-scope',
    );
  });

  test('signed in by password or token: today’s policy and the ceiling alone', async () => {
    const who = await principal(basic('sam', secret));
    const table = [
      ['pull', 'acme/web', 'allowed'],
      ['push', 'acme/web', 'denied'],
      ['delete', 'acme/web', 'denied'],
      ['pull', 'acme/api', 'allowed'],
      ['push', 'acme/api', 'allowed'],
      ['delete', 'acme/api', 'denied'],
      ['delete', 'sam/x', 'allowed'],
      ['push', 'sam/new/one', 'allowed'],
      ['pull', 'pub/x', 'allowed'],
      ['push', 'pub/x', 'denied'],
      ['pull', 'int/x', 'allowed'],
      ['push', 'int/x', 'denied'],
      ['pull', 'joe/secret', 'hidden'],
      ['push', 'joe/secret', 'hidden'],
      ['delete', 'joe/secret', 'hidden'],
      ['pull', 'joe/none', 'hidden'],
      ['push', 'joe/none', 'hidden'],
      ['delete', 'joe/none', 'hidden'],
      ['push', 'alpine', 'hidden'],
    ] as const;
    for (const [action, repository, expected] of table)
      assert.equal(await outcome(who, action, repository), expected, `${action} ${repository}`);
  });

  test('a bearer token: what it lacks and the policy gives is a matter of a fresh one; the rest is as without it', async () => {
    const who = await principal(basic('sam', secret));
    const token = await principal(
      bearer(
        await tokenFor(
          who,
          'repository:acme/api:pull',
          'repository:sam/x:push',
          'repository:acme/web:pull,push',
        ),
      ),
    );
    const table = [
      ['pull', 'acme/api', 'allowed'],
      ['push', 'acme/api', 'insufficient-scope'],
      ['delete', 'acme/api', 'denied'],
      ['pull', 'sam/x', 'insufficient-scope'],
      // A push takes both, as the challenge says.
      ['push', 'sam/x', 'insufficient-scope'],
      ['pull', 'sam/y', 'insufficient-scope'],
      ['pull', 'pub/x', 'insufficient-scope'],
      ['pull', 'acme/web', 'allowed'],
      ['push', 'acme/web', 'denied'],
      ['push', 'pub/x', 'denied'],
      ['pull', 'joe/secret', 'hidden'],
      ['push', 'joe/none', 'hidden'],
    ] as const;
    for (const [action, repository, expected] of table)
      assert.equal(await outcome(token, action, repository), expected, `${action} ${repository}`);
  });

  test('what may not be seen and what is not there are refused in the same words', async () => {
    const who = await principal(basic('sam', secret));
    on.accounts.visibilities.set('joe/alpine', 'private');
    for (const action of ['pull', 'push', 'delete'] as const) {
      const there = await on.access.decide(who, action, 'joe/alpine' as RepositoryName);
      on.accounts.visibilities.delete('joe/alpine');
      assert.deepEqual(await on.access.decide(who, action, 'joe/alpine' as RepositoryName), there);
      on.accounts.visibilities.set('joe/alpine', 'private');
    }
    on.accounts.put({ ...sam, grants: [] });
    assert.equal(
      await reason(who, 'push', 'joe/alpine'),
      'sam may not push to joe/alpine; your own namespace is sam/',
    );
    const robot = await principal(bearer((await makeToken('acme+ci', 'robot')).secret));
    assert.equal(
      await reason(robot, 'push', 'acme/billing'),
      'acme+ci may not push to acme/billing; it may push to acme/web/**',
    );
    assert.equal(
      await reason(robot, 'pull', 'joe/x'),
      'repository joe/x does not exist, or acme+ci may not see it',
    );
  });

  test('the local administrator may all', async () => {
    const local = await principal({ localUser: 'local:0(root)' });
    for (const action of ['ping', 'catalog', 'search'] as const)
      assert.equal(await outcome(local, action), 'allowed');
    for (const action of ['pull', 'push', 'delete'] as const)
      assert.equal(await outcome(local, action, 'joe/secret'), 'allowed');
  });

  test('an action on a repository without one is a fault, and never allowed', async () => {
    await assert.rejects(
      on.access.decide(await principal({ localUser: 'local:0(root)' }), 'pull', undefined),
    );
  });

  test('lists show what may be pulled by today’s policy, whatever the token carries', async () => {
    const seen = async (who: Principal) => {
      const may = await on.access.visibility(who);
      return [...on.accounts.visibilities]
        .filter(([name, visibility]) => may({ name: name as RepositoryName, visibility }))
        .map(([name]) => name);
    };
    const who = await principal(basic('sam', secret));
    assert.deepEqual(await seen(await principal()), ['pub/x']);
    assert.deepEqual(await seen(who), ['pub/x', 'int/x', 'acme/web']);
    assert.deepEqual(await seen(await principal(bearer(await tokenFor(who)))), [
      'pub/x',
      'int/x',
      'acme/web',
    ]);
    const limited = await makeToken('sam', 'personal', { patterns: ['acme/**'] });
    assert.deepEqual(await seen(await principal(bearer(limited.secret))), ['acme/web']);
    on.accounts.put({ ...sam, disabled: true });
    assert.deepEqual(await seen(who), []);
  });

  test('a request with a remembered token asks the store for the generation and the visibility at most', async () => {
    const token = await tokenFor(
      await principal(basic('sam', secret)),
      'repository:acme/api:pull',
      'repository:int/x:pull',
    );
    await outcome(await principal(bearer(token)), 'pull', 'acme/api');
    on.accounts.reads.length = 0;
    await outcome(await principal(bearer(token)), 'pull', 'acme/api');
    assert.deepEqual([...new Set(on.accounts.reads)], ['generation']);
    await outcome(await principal(bearer(token)), 'pull', 'int/x');
    assert.deepEqual([...new Set(on.accounts.reads)].sort(), ['generation', 'visibility']);
  });

  test('facts that were being read when the policy changed do not outlive the change', async () => {
    const { store } = on.accounts;
    const slow = Promise.withResolvers<void>();
    let reads = 0;
    const findSubject = async (id: number) => {
      const found = on.accounts.subjects.get(id);
      if (reads++ === 0) await slow.promise;
      return found;
    };
    const accounts = { ...store, policy: { ...store.policy, findSubject } };
    const policy = new Policy(accounts, on.clock, { personalNamespaces: true });
    const before = policy.findActive(sam.id);
    await new Promise(setImmediate);
    on.accounts.put({ ...sam, disabled: true });
    assert.equal(await policy.findActive(sam.id), undefined);
    slow.resolve();
    assert.equal((await before)?.name, 'sam');
    assert.equal(await policy.findActive(sam.id), undefined);
  });
});

describe('access mode open', () => {
  const facts: RequestFacts = {
    remoteAddress: '127.0.0.1',
    clientAddress: '127.0.0.1',
    host: 'localhost:5000',
    forwarded: false,
    crossSite: false,
    userAgent: undefined,
    authorization: undefined,
    sessionCookie: undefined,
    localUser: undefined,
  };

  test('everybody on this machine may everything about content, and credentials are not looked at', async () => {
    const access = openAccess({ openOnNetwork: false, policy: nothingMoved });
    const result = await access.authenticate({ ...facts, ...basic('sam', 'wrong') });
    assert.ok(
      result.outcome === 'principal' && result.principal.kind === 'anonymous' && result.principal.everything,
    );
    for (const action of ['ping', 'catalog', 'search', 'push'] as const)
      assert.deepEqual(await access.decide(result.principal, action, 'a/b' as RepositoryName), {
        outcome: 'allowed',
      });
    assert.equal(
      (await access.visibility(result.principal))({ name: 'a/b' as RepositoryName, visibility: 'private' }),
      true,
    );
  });

  test('who opened the socket is the local administrator, others are refused unless told otherwise', async () => {
    const access = openAccess({ openOnNetwork: false, policy: nothingMoved });
    const local = await access.authenticate({
      ...facts,
      host: undefined,
      remoteAddress: '',
      localUser: 'local',
    });
    assert.deepEqual(local, { outcome: 'principal', principal: { kind: 'local', name: 'local' } });
    for (const some of [
      { forwarded: true },
      { host: 'r.example' },
      { remoteAddress: '192.0.2.1' },
      { crossSite: true },
    ]) {
      assert.equal((await access.authenticate({ ...facts, ...some })).outcome, 'refused');
      assert.equal(
        (await openAccess({ openOnNetwork: true, policy: nothingMoved }).authenticate({ ...facts, ...some }))
          .outcome,
        'principal',
      );
    }
  });
});
