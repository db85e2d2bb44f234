// Access mode `token`: who somebody is, and the outcome of each kind of principal on each kind of repository.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import bcrypt from 'bcrypt';
import fc from 'fast-check';
import type { Action, Authentication, Principal, RequestFacts } from '../../src/auth/access.ts';
import { BearerTokens } from '../../src/auth/bearer-tokens.ts';
import { Credentials } from '../../src/auth/credentials.ts';
import { grantScopes } from '../../src/auth/grant-scopes.ts';
import { openAccess } from '../../src/auth/open-access.ts';
import { Passwords } from '../../src/auth/passwords.ts';
import { Policy } from '../../src/auth/policy.ts';
import { createSecret } from '../../src/auth/secrets.ts';
import { SignIns } from '../../src/auth/sign-ins.ts';
import { tokenAccess } from '../../src/auth/token-access.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import type { CredentialKind, Role, SubjectFacts } from '../../src/storage/account-store.ts';
import { FakeAccounts, grant, ManualClock, subject } from '../support/fake-accounts.ts';

const secret = 'violin teapot marmot';
const hash = await bcrypt.hash(secret, 4);
const origin = { actor: 'test' };
const caller = { address: '192.0.2.1', userAgent: 'test/1' };

function bench() {
  const clock = new ManualClock();
  const accounts = new FakeAccounts(clock);
  const policy = new Policy(accounts.store, clock, { personalNamespaces: true });
  const signIns = new SignIns(accounts.events, clock);
  const passwords = new Passwords({
    users: accounts.store.users,
    settings: { minimumLength: 12, refuseCommon: true, bcryptCost: 4 },
    throttle: { failuresPerAccount: 10, failuresPerAddress: 100, window: 900, exemptAddresses: [] },
    clock,
    sleep: async () => undefined,
    onFailure: (error) => assert.fail(String(error)),
  });
  const tokens = new BearerTokens(accounts.store.keys, clock, {
    issuer: 'berth',
    service: 'berth',
    lifetime: 900,
    clockSkew: 60,
    keyRotation: Number.POSITIVE_INFINITY,
  });
  const credentials = new Credentials({
    accounts: accounts.store,
    policy,
    passwords,
    signIns,
    clock,
    settings: { refreshLifetime: 90 * 86_400, session: { idle: 8 * 3600, longest: 7 * 86_400 } },
  });
  const access = tokenAccess({ policy, credentials, tokens, clock });
  return { clock, accounts, policy, signIns, passwords, tokens, credentials, access };
}

let on: ReturnType<typeof bench>;
let sam: SubjectFacts;

beforeEach(() => {
  on = bench();
  sam = on.accounts.put(
    subject('sam', { grants: [grant('sam', 'read', 'acme/web'), grant('sam', 'write', 'acme/api')] }),
  );
  on.accounts.put(subject('acme+ci', { grants: [grant('acme+ci', 'write', 'acme/web/**')] }));
  on.accounts.passwords.set('sam', { subjectId: sam.id, hash, generation: 1, disabled: false });
  on.accounts.visibilities
    .set('pub/x', 'public')
    .set('int/x', 'internal')
    .set('joe/secret', 'private')
    .set('acme/web', 'private');
});

function request(more: Partial<RequestFacts> = {}): Promise<Authentication> {
  return on.access.authenticate({
    remoteAddress: '192.0.2.1',
    clientAddress: '192.0.2.1',
    host: 'r.example',
    forwarded: false,
    crossSite: false,
    userAgent: 'test/1',
    authorization: undefined,
    sessionCookie: undefined,
    localUser: undefined,
    ...more,
  });
}

const basic = (name: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
});
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

async function principal(more: Partial<RequestFacts> = {}): Promise<Principal> {
  const result = await request(more);
  assert.equal(result.outcome, 'principal', JSON.stringify(result));
  return result.outcome === 'principal' ? result.principal : assert.fail();
}

async function invalid(more: Partial<RequestFacts>): Promise<string> {
  const result = await request(more);
  assert.equal(result.outcome, 'invalid', JSON.stringify(result));
  return result.outcome === 'invalid' ? result.reason : assert.fail();
}

async function outcome(who: Principal, action: Action, repository?: string): Promise<string> {
  return (await on.access.decide(who, action, repository as RepositoryName)).outcome;
}

async function reason(who: Principal, action: Action, repository: string): Promise<string> {
  const decision = await on.access.decide(who, action, repository as RepositoryName);
  return 'reason' in decision ? decision.reason : assert.fail(decision.outcome);
}

/** A token as /token gives it for `asked`. */
async function tokenFor(who: Principal, ...asked: string[]): Promise<string> {
  const rights = await on.policy.rightsOf(who);
  assert.ok(rights);
  const granted = await grantScopes({
    asked,
    rights,
    findVisibility: (name) => on.policy.findVisibility(name),
    now: on.clock.unix,
  });
  if (who.kind !== 'user' && who.kind !== 'robot') {
    return (
      await on.tokens.issue(
        { name: '', subjectId: 0, credentialId: undefined, passwordGeneration: undefined },
        granted,
      )
    ).token;
  }
  const { proof, name, subjectId } = who;
  const credentialId = 'credentialId' in proof ? proof.credentialId : undefined;
  const passwordGeneration = proof.kind === 'password' ? proof.passwordGeneration : undefined;
  return (await on.tokens.issue({ name, subjectId, credentialId, passwordGeneration }, granted)).token;
}

async function makeToken(
  name: string,
  kind: CredentialKind,
  more: { role?: Role; patterns?: readonly string[]; expiresAt?: number } = {},
): Promise<{ secret: string; id: number }> {
  const made = await on.credentials.create({ subject: name, kind, label: 'test', origin, ...more });
  assert.equal(made.outcome, 'added');
  return made.outcome === 'added' ? { secret: made.secret, id: made.credential.id } : assert.fail();
}

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
      fc.string({ unit: 'binary' }),
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
    assert.equal(await outcome(token, 'push', 'pub/x'), 'insufficient-scope');
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
    const policy = new Policy(
      {
        ...store,
        policy: {
          ...store.policy,
          findSubject: async (id) => {
            const found = on.accounts.subjects.get(id);
            await slow.promise;
            return found;
          },
        },
      },
      on.clock,
      { personalNamespaces: true },
    );
    const before = policy.findActive(sam.id);
    await new Promise(setImmediate);
    on.accounts.put({ ...sam, disabled: true });
    const after = policy.findActive(sam.id);
    await new Promise(setImmediate);
    slow.resolve();
    assert.equal((await before)?.name, 'sam');
    assert.equal(await after, undefined);
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
    const access = openAccess({ openOnNetwork: false });
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
    const access = openAccess({ openOnNetwork: false });
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
        (await openAccess({ openOnNetwork: true }).authenticate({ ...facts, ...some })).outcome,
        'principal',
      );
    }
  });
});
