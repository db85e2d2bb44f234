// Identity and access over the real store: what a change of accounts, grants or credentials does to the next request, and what
// the authority does by itself.
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import bcrypt from 'bcrypt';
import type { Action, Authentication, Principal, RequestFacts } from '../../src/auth/access.ts';
import { type Authority, createAuthority } from '../../src/auth/authority.ts';
import { grantScopes } from '../../src/auth/grant-scopes.ts';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Role } from '../../src/storage/account-store.ts';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import { addOrganization, addUser, root } from '../support/accounts.ts';
import {
  linkBlob,
  type ManualClock,
  manifestOf,
  manualClock,
  openTestStore,
  putManifest,
  repository,
} from '../support/metadata.ts';

const secret = 'violin teapot marmot';
const hash = bcrypt.hashSync(secret, 4);
const origin = root;
const caller = { address: '192.0.2.1', userAgent: 'test/1' };

interface Bench {
  readonly store: MetadataStore;
  readonly clock: ManualClock;
  readonly config: Config;
  readonly authority: Authority;
  readonly failures: readonly unknown[];
}

async function bench(t: TestContext, mode: 'open' | 'token' = 'token'): Promise<Bench> {
  const clock = manualClock();
  const { store } = await openTestStore(t, { clock });
  const loaded = loadConfig({ folder: '/nonexistent', environment: {} }).config;
  // The lowest cost that there is: the tests of passwords look at the configured one.
  const config = {
    ...loaded,
    auth: { ...loaded.auth, password: { ...loaded.auth.password, bcryptCost: 4 } },
  };
  const failures: unknown[] = [];
  const authority = createAuthority({
    metadata: store,
    config,
    clock,
    mode,
    onFailure: (error) => failures.push(error),
  });
  await addUser(store, 'sam', { passwordHash: hash });
  await addUser(store, 'joe', { passwordHash: hash });
  await addOrganization(store, 'acme', 'joe');
  return { store, clock, config, authority, failures };
}

function request(
  { authority }: Bench,
  authorization?: string,
  more: Partial<RequestFacts> = {},
): Promise<Authentication> {
  return authority.access.authenticate({
    remoteAddress: '192.0.2.1',
    clientAddress: '192.0.2.1',
    host: 'r.example',
    forwarded: false,
    crossSite: false,
    userAgent: 'test/1',
    authorization,
    sessionCookie: undefined,
    localUser: undefined,
    ...more,
  });
}

const basic = (name: string, password: string) =>
  `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;

async function principal(on: Bench, authorization?: string): Promise<Principal> {
  const result = await request(on, authorization);
  return result.outcome === 'principal' ? result.principal : assert.fail(JSON.stringify(result));
}

async function isInvalid(on: Bench, authorization: string): Promise<boolean> {
  return (await request(on, authorization)).outcome === 'invalid';
}

async function outcome({ authority }: Bench, who: Principal, action: Action, name: string): Promise<string> {
  return (await authority.access.decide(who, action, repository(name))).outcome;
}

async function accessToken({ authority, clock }: Bench, who: Principal, ...asked: string[]): Promise<string> {
  const rights = await authority.policy.rightsOf(who);
  assert.ok(rights && (who.kind === 'user' || who.kind === 'robot'));
  const { policy } = authority;
  const granted = await grantScopes({
    asked,
    rights,
    findMoved: (name) => policy.findMoved(name),
    findVisibility: (name) => policy.findVisibility(name),
    now: clock.unixSeconds(),
  });
  const { name, subjectId, proof } = who;
  const credentialId = 'credentialId' in proof ? proof.credentialId : undefined;
  const passwordGeneration = proof.kind === 'password' ? proof.passwordGeneration : undefined;
  const { token } = await authority.tokens.issue(
    { name, subjectId, credentialId, passwordGeneration },
    granted,
  );
  return `Bearer ${token}`;
}

async function personalToken(
  { authority }: Bench,
  subject: string,
  more: { role?: Role; patterns?: readonly string[]; expiresAt?: number } = {},
) {
  const made = await authority.credentials.create({
    subject,
    kind: 'personal',
    label: 'laptop',
    origin,
    ...more,
  });
  return made.outcome === 'added'
    ? { id: made.credential.id, bearer: `Bearer ${made.secret}` }
    : assert.fail(made.outcome);
}

async function give({ store }: Bench, subject: string, role: Role, pattern: string): Promise<number> {
  const put = await store.accounts.grants.put({
    namespace: pattern.split('/')[0],
    subject,
    pattern,
    role,
    origin,
  });
  return 'grant' in put ? put.grant.id : assert.fail(put.outcome);
}

async function push(store: MetadataStore, name: string): Promise<void> {
  const blob = await linkBlob(store, repository(name), `blob of ${name}`);
  await putManifest(store, repository(name), manifestOf({ blobs: [blob] }));
}

describe('from the next request on', () => {
  test('a grant holds, and its withdrawal', async (t) => {
    const on = await bench(t);
    const sam = await principal(on, basic('sam', secret));
    assert.equal(await outcome(on, sam, 'push', 'acme/web'), 'hidden');
    const id = await give(on, 'sam', 'write', 'acme/**');
    assert.equal(await outcome(on, sam, 'push', 'acme/web'), 'allowed');
    const token = await accessToken(on, sam, 'repository:acme/web:pull,push');
    assert.equal(await outcome(on, await principal(on, token), 'push', 'acme/web'), 'allowed');
    await give(on, 'sam', 'read', 'acme/**');
    assert.equal(await outcome(on, await principal(on, token), 'push', 'acme/web'), 'denied');
    await on.store.accounts.grants.remove({ id, origin });
    assert.equal(await outcome(on, await principal(on, token), 'push', 'acme/web'), 'hidden');
  });

  test('being put into a team, and out of it', async (t) => {
    const on = await bench(t);
    const { organizations } = on.store.accounts;
    await organizations.addTeam({ organization: 'acme', team: 'dev', origin });
    await give(on, 'acme/dev', 'write', 'acme/**');
    const sam = await principal(on, basic('sam', secret));
    assert.equal(await outcome(on, sam, 'push', 'acme/web'), 'hidden');
    await organizations.addTeamMember({ organization: 'acme', team: 'dev', user: 'sam', origin });
    assert.equal(await outcome(on, sam, 'push', 'acme/web'), 'allowed');
    await organizations.removeTeamMember({ organization: 'acme', team: 'dev', user: 'sam', origin });
    assert.equal(await outcome(on, sam, 'push', 'acme/web'), 'hidden');
    await organizations.setMember({ organization: 'acme', user: 'sam', role: 'owner', origin });
    assert.equal(await outcome(on, sam, 'delete', 'acme/web'), 'allowed');
    await organizations.removeMember({ organization: 'acme', user: 'sam', origin });
    assert.equal(await outcome(on, sam, 'pull', 'acme/web'), 'hidden');
  });

  test('disabling a user ends everything it came with', async (t) => {
    const on = await bench(t);
    const { users } = on.store.accounts;
    const sam = await principal(on, basic('sam', secret));
    const personal = await personalToken(on, 'sam');
    const ways = [
      basic('sam', secret),
      personal.bearer,
      await accessToken(on, sam),
      await accessToken(on, await principal(on, personal.bearer)),
    ];
    const session = await on.authority.credentials.openSession(sam, { label: '', origin });
    const nameOf = async () => {
      const result = await request(on, undefined, { sessionCookie: session?.secret });
      return result.outcome === 'principal' ? result.principal.name : result.outcome;
    };
    for (const way of ways) assert.equal((await principal(on, way)).name, 'sam');
    assert.equal(await nameOf(), 'sam');
    await users.disable({ name: 'sam', origin });
    for (const way of ways) assert.ok(await isInvalid(on, way));
    assert.equal(await nameOf(), 'anonymous');
    assert.equal(await outcome(on, sam, 'pull', 'sam/x'), 'unauthenticated');
    await users.enable({ name: 'sam', origin });
    assert.equal((await principal(on, basic('sam', secret))).name, 'sam');
    assert.equal(await nameOf(), 'anonymous');
  });

  test('removing a user ends everything, and whoever is given the name later has none of it', async (t) => {
    const on = await bench(t);
    const sam = await principal(on, basic('sam', secret));
    const ways = [basic('sam', secret), (await personalToken(on, 'sam')).bearer, await accessToken(on, sam)];
    await on.store.accounts.users.remove({ name: 'sam', deleteRepositories: false, origin });
    for (const way of ways) assert.ok(await isInvalid(on, way));
    assert.equal(
      (await on.store.accounts.users.add({ name: 'sam', role: 'user', guest: false, origin })).outcome,
      'exists',
    );
  });

  test('a changed password ends what the old one obtained, and leaves personal tokens alone', async (t) => {
    const on = await bench(t);
    const { users } = on.store.accounts;
    const sam = await principal(on, basic('sam', secret));
    const byPassword = await accessToken(on, sam);
    const personal = await personalToken(on, 'sam');
    const byToken = await accessToken(on, await principal(on, personal.bearer));
    const refresh = await on.authority.credentials.issueRefreshToken(sam, { label: 'docker', origin });
    const session = await on.authority.credentials.openSession(sam, { label: 'browser', origin });
    assert.ok(refresh && session);
    assert.equal(
      (await on.authority.credentials.presentRefresh(refresh.secret, caller)).outcome,
      'principal',
    );
    await users.setPassword({ name: 'sam', hash: bcrypt.hashSync('plinth trellis ostrich', 4), origin });
    assert.ok(await isInvalid(on, basic('sam', secret)));
    assert.ok(await isInvalid(on, byPassword));
    assert.equal((await on.authority.credentials.presentRefresh(refresh.secret, caller)).outcome, 'invalid');
    assert.equal(await on.authority.credentials.presentSession(session.secret, caller), undefined);
    for (const way of [basic('sam', 'plinth trellis ostrich'), personal.bearer, byToken])
      assert.equal((await principal(on, way)).name, 'sam');
    // What was authenticated just before the change is void, too.
    assert.equal(await outcome(on, sam, 'pull', 'sam/x'), 'unauthenticated');
    assert.equal(await on.authority.credentials.openSession(sam, { label: '', origin }), undefined);
    const left = await on.store.accounts.credentials.list('sam', {
      kinds: ['session', 'refresh'],
      limit: 10,
    });
    assert.deepEqual(left.items, []);
  });

  test('a removed token ends what was obtained with it', async (t) => {
    const on = await bench(t);
    const personal = await personalToken(on, 'sam', { role: 'read', patterns: ['sam/**'] });
    const sam = await principal(on, personal.bearer);
    const token = await accessToken(on, sam, 'repository:sam/x:pull,push');
    const refresh = await on.authority.credentials.issueRefreshToken(sam, { label: '', origin });
    assert.ok(refresh);
    assert.equal(await outcome(on, await principal(on, token), 'pull', 'sam/x'), 'allowed');
    assert.equal(await outcome(on, await principal(on, token), 'push', 'sam/x'), 'denied');
    const kinds = ['personal'] as const;
    assert.equal(
      await on.store.accounts.credentials.remove({ subject: 'sam', id: personal.id, kinds, origin }),
      true,
    );
    assert.ok(await isInvalid(on, personal.bearer));
    assert.ok(await isInvalid(on, token));
    assert.equal((await on.authority.credentials.presentRefresh(refresh.secret, caller)).outcome, 'invalid');
  });

  test('a robot that is disabled or removed, with its organization or by itself', async (t) => {
    const on = await bench(t);
    const { robots, organizations } = on.store.accounts;
    await robots.add({ namespace: 'acme', name: 'ci', description: '', origin });
    await give(on, 'acme+ci', 'write', 'acme/web/**');
    const made = await on.authority.credentials.create({
      subject: 'acme+ci',
      kind: 'robot',
      label: 'first',
      origin,
    });
    assert.ok(made.outcome === 'added');
    const way = basic('acme+ci', made.secret);
    const ci = await principal(on, way);
    assert.equal(await outcome(on, ci, 'push', 'acme/web/app'), 'allowed');
    assert.equal(await outcome(on, ci, 'push', 'acme/billing'), 'hidden');
    await robots.update({ name: 'acme+ci', changes: { enabled: false }, origin });
    assert.ok(await isInvalid(on, way));
    await robots.update({ name: 'acme+ci', changes: { enabled: true }, origin });
    await principal(on, way);
    await organizations.remove({ name: 'acme', origin });
    assert.ok(await isInvalid(on, way));
  });

  test('the role of a registry, being a guest, and visibility', async (t) => {
    const on = await bench(t);
    const { users, namespaces } = on.store.accounts;
    await namespaces.update({ name: 'acme', changes: { defaultVisibility: 'internal' }, origin });
    await push(on.store, 'acme/web');
    const sam = await principal(on, basic('sam', secret));
    const nobody = await principal(on);
    assert.equal(await outcome(on, sam, 'pull', 'acme/web'), 'allowed');
    assert.equal(await outcome(on, sam, 'push', 'acme/web'), 'denied');
    assert.equal(await outcome(on, nobody, 'pull', 'acme/web'), 'unauthenticated');
    await users.update({ name: 'sam', changes: { guest: true }, origin });
    assert.equal(await outcome(on, sam, 'pull', 'acme/web'), 'hidden');
    await users.update({ name: 'sam', changes: { guest: false, role: 'auditor' }, origin });
    await namespaces.update({ name: 'joe', changes: { defaultVisibility: 'public' }, origin });
    await push(on.store, 'joe/demo');
    assert.equal(await outcome(on, sam, 'pull', 'joe/none'), 'allowed');
    assert.equal(await outcome(on, nobody, 'pull', 'joe/demo'), 'allowed');
    await users.update({ name: 'sam', changes: { role: 'administrator' }, origin });
    assert.equal(await outcome(on, sam, 'delete', 'joe/demo'), 'allowed');
  });
});

describe('sign-in over the real store', () => {
  test('an old hash is replaced at sign-in, and nobody is signed out by it', async (t) => {
    const on = await bench(t);
    const { users } = on.store.accounts;
    await users.setPassword({ name: 'sam', hash: bcrypt.hashSync(secret, 4), origin });
    const costly = createAuthority({
      metadata: on.store,
      config: {
        ...on.config,
        auth: { ...on.config.auth, password: { ...on.config.auth.password, bcryptCost: 5 } },
      },
      clock: on.clock,
      mode: 'token',
      onFailure: (error) => assert.fail(String(error)),
    });
    const sam = await principal({ ...on, authority: costly }, basic('sam', secret));
    const token = await accessToken(on, sam);
    for (
      let times = 0;
      times < 200 && (await users.findPassword('sam'))?.hash?.startsWith('$2b$04$');
      times++
    )
      await new Promise((resolve) => setTimeout(resolve, 10));
    assert.match((await users.findPassword('sam'))?.hash ?? '', /^\$2b\$05\$/);
    assert.equal((await principal(on, token)).name, 'sam');
    assert.equal((await principal(on, basic('sam', secret))).name, 'sam');
  });

  test('a one-time code sets a password once', async (t) => {
    const on = await bench(t);
    const { credentials } = on.authority;
    const made = await credentials.create({
      subject: 'sam',
      kind: 'setPassword',
      label: '',
      expiresAt: on.clock.unixSeconds() + 100,
      origin,
    });
    assert.ok(made.outcome === 'added');
    assert.equal(await credentials.isCodeOf('joe', made.secret, caller), false);
    assert.equal(await credentials.isCodeOf('sam', made.secret, caller), true);
    on.clock.advance(100);
    assert.equal(await credentials.isCodeOf('sam', made.secret, caller), false);
  });

  test('concurrent changes and requests never let anybody in after the change was acknowledged', async (t) => {
    const on = await bench(t);
    const sam = await principal(on, basic('sam', secret));
    let granted = 0;
    for (let round = 0; round < 20; round++) {
      const id = await give(on, 'sam', 'write', 'acme/**');
      let acknowledged = false;
      const ask = async () => {
        const before = acknowledged;
        const answer = await outcome(on, sam, 'push', 'acme/web');
        if (before) assert.equal(answer, 'hidden');
        if (answer === 'allowed') granted++;
      };
      const asking = Array.from({ length: 20 }, () => ask());
      const removing = on.store.accounts.grants.remove({ id, origin }).then(() => {
        acknowledged = true;
      });
      for (let more = 0; more < 50; more++) await ask();
      await Promise.all([...asking, removing]);
      assert.equal(await outcome(on, sam, 'push', 'acme/web'), 'hidden');
    }
    assert.ok(granted > 0);
  });
});

describe('what the authority does by itself', () => {
  test('it makes the first key, writes what was gathered when it stops, and another start goes on with both', async (t) => {
    const on = await bench(t);
    await on.authority.start();
    assert.equal((await on.store.accounts.keys.list()).length, 1);
    const personal = await personalToken(on, 'sam');
    await principal(on, personal.bearer);
    const token = await accessToken(on, await principal(on, basic('sam', secret)));
    await isInvalid(on, basic('sam', 'wrong'));
    await on.authority.stop();
    assert.deepEqual(on.failures, []);
    const { items } = await on.store.accounts.credentials.list('sam', { kinds: ['personal'], limit: 10 });
    assert.equal(items[0]?.lastUsedFrom, '192.0.2.1');
    const audit = await on.store.events.audit({ filter: { action: 'sign-in', actor: 'sam' }, limit: 10 });
    assert.deepEqual(audit.items.map(({ outcome: result }) => result).sort(), ['allowed', 'refused']);
    const again = createAuthority({
      metadata: on.store,
      config: on.config,
      clock: on.clock,
      mode: 'token',
      onFailure: assert.ifError,
    });
    await again.start();
    assert.equal((await principal({ ...on, authority: again }, token)).name, 'sam');
    assert.equal((await on.store.accounts.keys.list()).length, 1);
    await again.stop();
  });

  test('it rotates keys that are due and drops what has expired, at every start', async (t) => {
    const on = await bench(t);
    await on.authority.start();
    await on.authority.stop();
    const [first] = await on.store.accounts.keys.list();
    const sam = await principal(on, basic('sam', secret));
    for (let times = 0; times < 250; times++)
      await on.authority.credentials.openSession(sam, { label: '', origin });
    on.clock.advance(400 * 86_400);
    const again = createAuthority({
      metadata: on.store,
      config: on.config,
      clock: on.clock,
      mode: 'token',
      onFailure: assert.ifError,
    });
    await again.start();
    const sessions = async () =>
      (await on.store.accounts.credentials.list('sam', { kinds: ['session'], limit: 1000 })).items.length;
    for (let times = 0; times < 200 && (await sessions()) > 0; times++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(await sessions(), 0);
    const keys = await on.store.accounts.keys.list();
    assert.ok(keys.length >= 1 && keys[0]?.kid !== first?.kid);
    const events = async () =>
      (await on.store.events.read({ after: 0, limit: 1000 })).items.map(({ kind }) => kind);
    for (let times = 0; times < 200 && (await events()).includes('user.add'); times++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    assert.ok(!(await events()).includes('user.add'));
    await again.stop();
  });

  test('in mode open it makes no key, and asks for no credentials', async (t) => {
    const on = await bench(t, 'open');
    await on.authority.start();
    assert.deepEqual(await on.store.accounts.keys.list(), []);
    const local = { remoteAddress: '127.0.0.1', host: 'localhost' };
    assert.equal((await request(on, basic('sam', 'wrong'), local)).outcome, 'principal');
    await on.authority.stop();
  });

  test('service and issuer follow the public URL unless they are set', async (t) => {
    const on = await bench(t);
    const settings = (config: Config) => {
      const { service, issuer } = createAuthority({
        metadata: on.store,
        config,
        clock: on.clock,
        mode: 'token',
        onFailure: assert.ifError,
      }).tokens.settings;
      return [service, issuer];
    };
    assert.deepEqual(settings(on.config), ['berth', 'berth']);
    const http = { ...on.config.http, publicUrl: 'https://r.example:8443' };
    assert.deepEqual(settings({ ...on.config, http }), ['r.example:8443', 'https://r.example:8443']);
    const token = { ...on.config.auth.token, service: 's', issuer: 'i' };
    assert.deepEqual(settings({ ...on.config, http, auth: { ...on.config.auth, token } }), ['s', 'i']);
  });

  test('a store that is closed lets nobody in, and nothing that happens by itself breaks the process', async (t) => {
    const on = await bench(t);
    const sam = await principal(on, basic('sam', secret));
    await on.store.close();
    await assert.rejects(outcome(on, sam, 'pull', 'sam/x'));
    await assert.rejects(request(on, basic('sam', secret)));
    await isInvalid(on, 'Basic Og==');
    await on.authority.stop();
    assert.ok(on.failures.length > 0);
  });
});
