// Access mode `token`: who somebody is, by each kind of credential, and when that ends.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import bcrypt from 'bcrypt';
import fc from 'fast-check';
import { Credentials } from '../../src/auth/credentials.ts';
import { createSecret } from '../../src/auth/secrets.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import {
  basic,
  bearer,
  caller,
  hash,
  invalid,
  makeToken,
  on,
  origin,
  outcome,
  principal,
  renew,
  request,
  sam,
  secret,
  tokenFor,
} from '../support/access-bench.ts';
import { anyCharacter } from '../support/characters.ts';
import { grant, subject } from '../support/fake-accounts.ts';

beforeEach(renew);

describe('who is asking', () => {
  test('nobody without credentials, and with the empty ones that docker sends when logged out', async () => {
    for (const facts of [{}, { authorization: 'Basic Og==' }, { authorization: 'basic Og==' }])
      assert.deepEqual(await principal(facts), {
        kind: 'anonymous',
        name: 'anonymous',
        everything: false,
        scopes: undefined,
      });
  });

  test('whoever opened the socket is who the system says, before anything else', async () => {
    assert.deepEqual(await principal({ localUser: 'local:0(root)', ...basic('sam', 'wrong') }), {
      kind: 'local',
      name: 'local:0(root)',
    });
  });

  test('a user by password, and a user or robot by token in its place', async () => {
    const byPassword = await principal(basic('sam', secret));
    assert.equal(byPassword.name, 'sam');
    const personal = await makeToken('sam', 'personal');
    assert.equal((await principal(basic('sam', personal.secret))).name, 'sam');
    assert.equal((await principal(bearer(personal.secret))).name, 'sam');
    const robot = await makeToken('acme+ci', 'robot');
    const byRobot = await principal(basic('acme+ci', robot.secret));
    assert.deepEqual([byRobot.kind, byRobot.name], ['robot', 'acme+ci']);
  });

  test('a password with colons and letters of every alphabet', async () => {
    const text = 'a:b::ключ-шкаф:';
    on.accounts.passwords.set('sam', {
      subjectId: sam.id,
      hash: await bcrypt.hash(text, 4),
      generation: 1,
      disabled: false,
    });
    assert.equal((await principal(basic('sam', text))).name, 'sam');
  });

  test('the wrong name with a good token is told the right one, to whoever holds the token', async () => {
    const robot = await makeToken('acme+ci', 'robot');
    assert.equal(
      await invalid(basic('sam', robot.secret)),
      'this token belongs to acme+ci: log in with -u acme+ci',
    );
    const unknown = createSecret('robot').secret;
    assert.match(await invalid(basic('sam', unknown)), /not valid/);
    assert.equal(await invalid(basic('acme+ci', unknown)), await invalid(basic('nobody', unknown)));
  });

  test('a wrong password, an unknown user, a disabled one and a robot’s are told the same', async () => {
    const off = on.accounts.put(subject('off', { disabled: true }));
    on.accounts.passwords.set('off', { subjectId: off.id, hash, generation: 1, disabled: true });
    const answers = await Promise.all([
      request(basic('sam', 'wrong')),
      request(basic('nobody', 'wrong')),
      request(basic('off', secret)),
      request(basic('acme+ci', 'wrong')),
      request(basic('', 'x')),
      request(basic('sam', '')),
    ]);
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
    assert.equal(answers[0]?.outcome, 'invalid');
  });

  test('a token that is damaged, expired, removed, or of somebody who is gone, is not good', async () => {
    const { secret: good, id } = await makeToken('sam', 'personal', { expiresAt: on.clock.unix + 100 });
    assert.match(await invalid(basic('sam', `${good.slice(0, -1)}~`)), /damaged/);
    assert.match(await invalid(bearer(good.slice(0, -2))), /damaged/);
    assert.equal((await principal(bearer(good))).name, 'sam');
    on.clock.advance(100);
    assert.match(await invalid(bearer(good)), /not valid/);
    on.clock.advance(-100);
    assert.equal((await principal(bearer(good))).name, 'sam');
    on.accounts.put({ ...sam, disabled: true });
    assert.match(await invalid(bearer(good)), /not valid/);
    assert.match(await invalid(basic('sam', good)), /not valid/);
    on.accounts.put(sam);
    assert.equal((await principal(bearer(good))).name, 'sam');
    on.accounts.removeCredential(id);
    assert.match(await invalid(bearer(good)), /not valid/);
  });

  test('refresh tokens, sessions and one-time codes are good only where they belong', async () => {
    for (const kind of ['refresh', 'session', 'setPassword'] as const) {
      const { secret: made } = await makeToken('sam', kind);
      await invalid(basic('sam', made));
      await invalid(bearer(made));
      assert.equal((await request({ sessionCookie: made })).outcome, 'principal');
      assert.equal((await principal({ sessionCookie: made })).name, kind === 'session' ? 'sam' : 'anonymous');
    }
    const { secret: personal } = await makeToken('sam', 'personal');
    assert.equal((await principal({ sessionCookie: personal })).name, 'anonymous');
    assert.equal((await on.credentials.presentRefresh(personal, caller)).outcome, 'invalid');
  });

  test('what is malformed is refused without a look at any account', async () => {
    for (const authorization of [
      '',
      'Basic',
      'Basic !!!',
      'Basic c2Ft',
      'Digest x',
      'Bearer',
      'Bearer  a b',
      'x'.repeat(16_000),
      `Basic ${'A'.repeat(16_000)}`,
      'Bearer ..',
      'Bearer \u0000',
      'BasicOg==',
    ])
      await invalid({ authorization });
    assert.ok(!on.accounts.reads.includes('password'));
  });

  test('no header makes it fail', async () => {
    const text = fc.oneof(
      fc.string({ unit: anyCharacter }),
      fc.base64String().map((some) => `Basic ${some}`),
      fc.string().map((some) => `Bearer ${some}`),
    );
    await fc.assert(
      fc.asyncProperty(text, async (authorization) => void (await request({ authorization }))),
      { numRuns: 300 },
    );
  });

  test('too many wrong passwords are told when to come again', async () => {
    for (let times = 0; times < 10; times++) await invalid(basic('sam', `guess ${times}`));
    assert.deepEqual(await request(basic('sam', 'guess 10')), {
      outcome: 'throttled',
      retryAfterSeconds: 900,
    });
    const { secret: token } = await makeToken('sam', 'personal');
    assert.equal((await principal(basic('sam', token))).name, 'sam');
  });

  test('a store that cannot answer lets nobody in', async () => {
    const { secret: token } = await makeToken('sam', 'personal');
    const who = await principal(bearer(token));
    on.accounts.failing = new Error('disk');
    await assert.rejects(request(bearer(token)), /disk/);
    await assert.rejects(request(basic('sam', secret)), /disk/);
    await assert.rejects(on.access.decide(who, 'pull', 'sam/x' as RepositoryName), /disk/);
    await assert.rejects(on.access.decide(await principal(), 'pull', 'pub/x' as RepositoryName), /disk/);
    await assert.rejects(on.access.visibility(who), /disk/);
  });
});

describe('sessions', () => {
  async function open(): Promise<{ secret: string; id: number }> {
    const made = await on.credentials.openSession(await principal(basic('sam', secret)), {
      label: 'browser',
      origin,
    });
    assert.ok(made);
    return { secret: made.secret, id: made.credential.id };
  }

  test('end when nobody used them for as long as configured, and after the longest time in any case', async () => {
    const { secret: cookie } = await open();
    for (let hours = 0; hours < 24 * 7 - 7; hours += 7) {
      on.clock.advance(7 * 3600);
      if (hours % 14 === 0) await on.credentials.flush();
      const expected = on.clock.unix - 1_800_000_000 < 7 * 86_400 ? 'sam' : 'anonymous';
      assert.equal((await principal({ sessionCookie: cookie })).name, expected, `${hours}`);
    }
    const { secret: idle } = await open();
    on.clock.advance(8 * 3600);
    assert.equal((await principal({ sessionCookie: idle })).name, 'anonymous');
  });

  test('a use that was written counts after a restart', async () => {
    const { secret: cookie } = await open();
    on.clock.advance(5 * 3600);
    await principal({ sessionCookie: cookie });
    await on.credentials.flush();
    on.clock.advance(5 * 3600);
    const fresh = new Credentials({
      accounts: on.accounts.store,
      policy: on.policy,
      passwords: on.passwords,
      signIns: on.signIns,
      clock: on.clock,
      settings: { refreshLifetime: 1, session: { idle: 8 * 3600, longest: 7 * 86_400 } },
    });
    assert.equal((await fresh.presentSession(cookie, caller))?.name, 'sam');
  });

  test('a page of another site does not act for who is signed in', async () => {
    const { secret: cookie } = await open();
    assert.equal((await principal({ sessionCookie: cookie, crossSite: true })).name, 'anonymous');
    assert.equal((await principal({ sessionCookie: cookie })).name, 'sam');
  });

  test('an ended session is nobody, not an error, so that one can sign in again', async () => {
    const { secret: cookie, id } = await open();
    on.accounts.removeCredential(id);
    assert.equal((await principal({ sessionCookie: cookie })).name, 'anonymous');
    assert.equal((await principal({ sessionCookie: 'x'.repeat(5000) })).name, 'anonymous');
  });

  test('cannot be made of sessions, access tokens, nobody, or a password that was changed meanwhile', async () => {
    const who = await principal(basic('sam', secret));
    const { secret: cookie } = await open();
    const bySession = await principal({ sessionCookie: cookie });
    const byBearer = await principal(bearer(await tokenFor(who)));
    for (const some of [bySession, byBearer, await principal()])
      assert.equal(await on.credentials.openSession(some, { label: '', origin }), undefined);
    const before = on.accounts.held.size;
    on.accounts.put({ ...sam, passwordGeneration: 2 });
    assert.equal(await on.credentials.openSession(who, { label: '', origin }), undefined);
    assert.equal(on.accounts.held.size, before);
  });
});

describe('refresh tokens', () => {
  test('are presented again and again, and end with the token they came from', async () => {
    const personal = await makeToken('sam', 'personal', { role: 'read', patterns: ['acme/**'] });
    const issued = await on.credentials.issueRefreshToken(await principal(bearer(personal.secret)), {
      label: 'docker',
      origin,
    });
    assert.ok(issued);
    for (let times = 0; times < 3; times++) {
      const result = await on.credentials.presentRefresh(issued.secret, caller);
      assert.ok(result.outcome === 'principal' && result.principal.kind === 'user');
      // The ceiling is that of the token it came from.
      assert.deepEqual(result.principal.ceiling, { role: 'read', patterns: ['acme/**'] });
      assert.equal(await outcome(result.principal, 'push', 'acme/api'), 'denied');
    }
    const refreshed = await on.credentials.presentRefresh(issued.secret, caller);
    assert.ok(refreshed.outcome === 'principal');
    const token = await tokenFor(refreshed.principal, 'repository:acme/api:pull');
    assert.equal(await outcome(await principal(bearer(token)), 'pull', 'acme/api'), 'allowed');
    on.accounts.removeCredential(personal.id);
    assert.equal((await on.credentials.presentRefresh(issued.secret, caller)).outcome, 'invalid');
    await invalid(bearer(token));
  });

  test('end when the token they came from expires, or after their own life', async () => {
    const personal = await makeToken('sam', 'personal', { expiresAt: on.clock.unix + 1000 });
    const from = await on.credentials.issueRefreshToken(await principal(bearer(personal.secret)), {
      label: '',
      origin,
    });
    const own = await on.credentials.issueRefreshToken(await principal(basic('sam', secret)), {
      label: '',
      origin,
    });
    assert.ok(from && own);
    on.clock.advance(1000);
    assert.equal((await on.credentials.presentRefresh(from.secret, caller)).outcome, 'invalid');
    assert.equal((await on.credentials.presentRefresh(own.secret, caller)).outcome, 'principal');
    on.clock.advance(90 * 86_400 - 1000);
    assert.equal((await on.credentials.presentRefresh(own.secret, caller)).outcome, 'invalid');
  });

  test('a presented one makes no other', async () => {
    const own = await on.credentials.issueRefreshToken(await principal(basic('sam', secret)), {
      label: '',
      origin,
    });
    const result = await on.credentials.presentRefresh(own?.secret ?? '', caller);
    assert.ok(result.outcome === 'principal');
    assert.equal(await on.credentials.issueRefreshToken(result.principal, { label: '', origin }), undefined);
  });
});

describe('bearer tokens', () => {
  test('are void at the next request when the user is disabled or gone, or the password changed', async () => {
    const token = await tokenFor(await principal(basic('sam', secret)), 'repository:sam/x:pull');
    const who = await principal(bearer(token));
    assert.equal(await outcome(who, 'pull', 'sam/x'), 'allowed');
    for (const change of [{ disabled: true }, { passwordGeneration: 2 }]) {
      on.accounts.put({ ...sam, ...change });
      await invalid(bearer(token));
      // Also one that was authenticated just before.
      assert.equal(await outcome(who, 'pull', 'sam/x'), 'unauthenticated');
      on.accounts.put(sam);
      await principal(bearer(token));
    }
    on.accounts.subjects.delete(sam.id);
    on.accounts.generation++;
    await invalid(bearer(token));
  });

  test('are void when the token they were obtained with is removed or expires', async () => {
    const { secret: robot, id } = await makeToken('acme+ci', 'robot', { expiresAt: on.clock.unix + 300 });
    const token = await tokenFor(await principal(bearer(robot)), 'repository:acme/web/app:pull,push');
    assert.equal(await outcome(await principal(bearer(token)), 'push', 'acme/web/app'), 'allowed');
    on.clock.advance(300);
    await invalid(bearer(token));
    on.clock.advance(-1);
    await principal(bearer(token));
    on.accounts.removeCredential(id);
    await invalid(bearer(token));
  });

  test('a token of a credential that belongs to somebody else is void', async () => {
    const { id } = await makeToken('acme+ci', 'robot');
    const { token } = await on.tokens.issue(
      { name: 'sam', subjectId: sam.id, credentialId: id, passwordGeneration: undefined },
      [],
    );
    await invalid(bearer(token));
    const other = await on.tokens.issue(
      { name: 'joe', subjectId: sam.id, credentialId: undefined, passwordGeneration: 1 },
      [],
    );
    await invalid(bearer(other.token));
  });

  test('a grant that is withdrawn stops at the next request, one that is added needs a fresh token', async () => {
    const token = await tokenFor(
      await principal(basic('sam', secret)),
      'repository:acme/api:pull,push',
      'repository:acme/new:pull,push',
    );
    const who = await principal(bearer(token));
    assert.equal(await outcome(who, 'push', 'acme/api'), 'allowed');
    assert.equal(await outcome(who, 'push', 'acme/new'), 'hidden');
    on.accounts.put({ ...sam, grants: [grant('sam', 'write', 'acme/new')] });
    assert.equal(await outcome(who, 'push', 'acme/api'), 'hidden');
    assert.equal(await outcome(who, 'push', 'acme/new'), 'insufficient-scope');
  });

  test('the ceiling of a credential is taken from today’s', async () => {
    const { secret: personal, id } = await makeToken('sam', 'personal', { role: 'write' });
    const token = await tokenFor(await principal(bearer(personal)), 'repository:acme/api:pull,push');
    const who = await principal(bearer(token));
    assert.equal(await outcome(who, 'push', 'acme/api'), 'allowed');
    const row = on.accounts.held.get(id);
    assert.ok(row);
    row.credential = { ...row.credential, role: 'read' };
    on.accounts.generation++;
    assert.equal(await outcome(who, 'push', 'acme/api'), 'denied');
  });
});
