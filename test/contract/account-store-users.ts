// Contract: users, their passwords, disabling and removing them, and the last administrator.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addCredential, addOrganization, addUser, effectOf, lastEvent, root } from '../support/accounts.ts';
import { linkBlob, manifestOf, manualClock, putManifest, repository, roomy } from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const origin = root;

export function describeUserStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: users`, () => {
    test('a user is there as it was added, with a namespace of its own', async (t) => {
      const store = await open(t, { clock: manualClock(1_900_000_000) });
      const { users, namespaces } = store.accounts;
      const added = await users.add({
        name: 'alice',
        role: 'auditor',
        guest: false,
        fullName: 'Alice Liddell',
        email: 'alice@example.org',
        passwordHash: '$2b$x',
        origin,
      });
      assert.ok(added.outcome === 'added');
      assert.equal(added.adopted, 0);
      assert.deepEqual(added.user, {
        id: added.user.id,
        name: 'alice',
        role: 'auditor',
        guest: false,
        fullName: 'Alice Liddell',
        email: 'alice@example.org',
        hasPassword: true,
        createdAt: 1_900_000_000,
        disabledAt: undefined,
      });
      assert.deepEqual(await users.find('alice'), added.user);
      assert.equal((await namespaces.find('alice'))?.kind, 'user');
      assert.equal(await users.find('bob'), undefined);
      assert.equal(await users.find('Alice'), undefined);
    });

    test('a guest has no namespace, and gets one when it is no guest any more', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await addUser(store, 'kim', { guest: true });
      assert.equal(await store.accounts.namespaces.find('kim'), undefined);
      await putManifest(store, repository('kim/app'), manifestOf({}));
      assert.equal((await store.accounts.namespaces.find('kim'))?.kind, 'unowned');
      await store.accounts.users.update({ name: 'kim', changes: { guest: false }, origin });
      assert.equal((await store.accounts.namespaces.find('kim'))?.kind, 'user');
      const facts = await store.accounts.policy.findSubjectByName('kim');
      assert.deepEqual([facts?.namespace, facts?.guest], ['kim', false]);
    });

    test('a name is one user’s or one organization’s, and stays taken after a removal', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const add = async (name: string, guest = false) =>
        (await store.accounts.users.add({ name, role: 'user', guest, origin })).outcome;
      assert.equal(await add('alice'), 'added');
      assert.equal(await add('alice'), 'exists');
      await addOrganization(store, 'acme');
      assert.deepEqual([await add('acme'), await add('acme', true)], ['exists', 'exists']);
      assert.deepEqual([await add('library'), await add('anonymous')], ['exists', 'exists']);
      await store.accounts.users.remove({ name: 'alice', deleteRepositories: false, origin });
      await store.accounts.organizations.remove({ name: 'acme', origin });
      assert.equal(await store.accounts.users.find('alice'), undefined);
      assert.deepEqual(
        [await add('alice'), await add('acme'), await add('acme', true)],
        Array(3).fill('exists'),
      );
    });

    test('a user takes over the namespace that a push made before it', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await putManifest(store, repository('bob/app'), manifestOf({}));
      await putManifest(store, repository('bob/web'), manifestOf({}));
      await linkBlob(store, repository('bob/blobs-alone'), 'layer');
      const added = await store.accounts.users.add({ name: 'bob', role: 'user', guest: false, origin });
      assert.equal(added.outcome === 'added' && added.adopted, 2);
      assert.equal((await store.accounts.namespaces.find('bob'))?.kind, 'user');
    });

    test('users are listed by name in pages, by state, and by a part of name, full name or email', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { users } = store.accounts;
      for (const name of ['dave', 'alice', 'carol', 'bob']) await addUser(store, name);
      const changes = { fullName: 'Zoë Ünal', email: 'Alice@Example.org' };
      await users.update({ name: 'alice', changes, origin });
      await users.disable({ name: 'carol', origin });
      await users.remove({ name: 'dave', deleteRepositories: false, origin });
      const list = async (options: Partial<Parameters<typeof users.list>[0]>) => {
        const page = await users.list({ limit: 10, ...options });
        return [page.items.map((user) => user.name).join(' '), page.more];
      };
      assert.deepEqual(await list({}), ['alice bob carol', false]);
      assert.deepEqual(await list({ limit: 2 }), ['alice bob', true]);
      assert.deepEqual(await list({ after: 'bob', limit: 2 }), ['carol', false]);
      assert.deepEqual(await list({ descending: true, limit: 2 }), ['carol bob', true]);
      assert.deepEqual(await list({ after: 'bob', descending: true }), ['alice', false]);
      const { items } = await users.list({ by: 'createdAt', limit: 10 });
      assert.deepEqual(
        items.map(({ id }) => id),
        items.map(({ id }) => id).toSorted((one, other) => one - other),
      );
      const back = await users.list({ by: 'createdAt', descending: true, after: items[2]?.id, limit: 10 });
      assert.deepEqual(back.items, items.slice(0, 2).toReversed());
      assert.deepEqual(await list({ state: 'disabled' }), ['carol', false]);
      assert.deepEqual(await list({ state: 'enabled', q: 'O' }), ['alice bob', false]);
      assert.deepEqual(await list({ q: 'Ünal' }), ['alice', false]);
      assert.deepEqual(await list({ q: 'LIC' }), ['alice', false]);
      assert.deepEqual(await list({ q: 'example.ORG' }), ['alice', false]);
      assert.deepEqual(await list({ q: '%' }), ['', false]);
      const taken = ['alice', 'dave', 'eve'].map((each) => users.isTaken(each));
      assert.deepEqual(await Promise.all(taken), [true, true, false]);
      assert.equal(await users.count(), 3);
    });

    test('an update changes what it names, null clears, and only role and guest move the policy', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { users } = store.accounts;
      await addUser(store, 'alice');
      const update = (changes: Parameters<typeof users.update>[0]['changes']) => () =>
        users.update({ name: 'alice', changes, origin });
      const told = ['user.update user:alice'];
      assert.deepEqual(await effectOf(store, update({ fullName: 'A', email: 'a@b' })), {
        told,
        moved: false,
      });
      assert.deepEqual(await effectOf(store, update({ email: null })), { told, moved: false });
      assert.deepEqual(await effectOf(store, update({ role: 'auditor' })), { told, moved: true });
      assert.deepEqual(await effectOf(store, update({ guest: true })), { told, moved: true });
      assert.deepEqual(await effectOf(store, update({ guest: true, fullName: 'A' })), {
        told: [],
        moved: false,
      });
      const user = await users.find('alice');
      assert.deepEqual(
        [user?.fullName, user?.email, user?.role, user?.guest],
        ['A', undefined, 'auditor', true],
      );
      assert.deepEqual(await users.update({ name: 'bob', changes: {}, origin }), { outcome: 'unknown' });
    });

    test('what was told of a change names who, from where, before and after, and no secret', async (t) => {
      const store = await open(t, { clock: manualClock(1_900_000_000) });
      await addUser(store, 'alice', { passwordHash: '$2b$secret' });
      await store.accounts.users.update({ name: 'alice', changes: { role: 'administrator' }, origin });
      const { seq, ...event } = (await lastEvent(store)) ?? { seq: 0 };
      const profile = { guest: false };
      assert.ok(seq > 0);
      assert.deepEqual(event, {
        at: 1_900_000_000,
        kind: 'user.update',
        actor: 'root',
        outcome: 'allowed',
        repository: undefined,
        reference: undefined,
        digest: undefined,
        object: 'user:alice',
        namespace: undefined,
        address: '192.0.2.1',
        userAgent: 'berth/0.1',
        requestId: 'request-9',
        detail: { before: { ...profile, role: 'user' }, after: { ...profile, role: 'administrator' } },
      });
      const { items } = await store.events.read({ after: 0, limit: 10 });
      assert.ok(!JSON.stringify(items).includes('$2b$'));
    });
  });

  describePasswords(name, open);
  describeEnds(name, open);
  describeLastAdministrator(name, open);
}

function describePasswords(name: string, open: OpenMetadataStore): void {
  describe(`${name}: passwords`, () => {
    test('a new password ends sessions, refresh tokens and codes, and leaves tokens', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { users, credentials } = store.accounts;
      const { id } = await addUser(store, 'alice', { passwordHash: 'old' });
      const first = { subjectId: id, hash: 'old', generation: 0, disabled: false };
      assert.deepEqual(await users.findPassword('alice'), first);
      for (const kind of ['personal', 'session', 'refresh', 'setPassword'] as const)
        await addCredential(store, 'alice', kind, kind);
      const set = () => users.setPassword({ name: 'alice', hash: 'new', origin });
      assert.deepEqual(await effectOf(store, set), { told: ['user.password user:alice'], moved: true });
      assert.deepEqual(await users.findPassword('alice'), { ...first, hash: 'new', generation: 1 });
      const kinds = ['personal', 'session', 'refresh', 'setPassword'] as const;
      const { items } = await credentials.list('alice', { kinds, limit: 10 });
      assert.deepEqual(
        items.map(({ kind }) => kind),
        ['personal'],
      );
      assert.equal(await users.setPassword({ name: 'bob', hash: 'x', origin }), false);
      assert.equal(await users.findPassword('bob'), undefined);
    });

    test('a cleared password is no password, and voids what the old one obtained', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { users } = store.accounts;
      await addUser(store, 'alice', { passwordHash: 'old' });
      assert.equal(await users.clearPassword({ name: 'alice', origin }), true);
      const facts = await users.findPassword('alice');
      assert.deepEqual([facts?.hash, facts?.generation], [undefined, 1]);
      assert.equal((await users.find('alice'))?.hasPassword, false);
      assert.equal(await users.clearPassword({ name: 'bob', origin }), false);
    });

    test('the same password under a new hash ends nothing, and only replaces the hash it was made from', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { users } = store.accounts;
      const { id: subjectId } = await addUser(store, 'alice', { passwordHash: 'cost-10' });
      const upgrade = (from: string, to: string) => () => users.upgradeHash({ subjectId, from, to });
      assert.deepEqual(await effectOf(store, upgrade('cost-10', 'cost-12')), { told: [], moved: false });
      await upgrade('cost-10', 'stale')();
      const facts = await users.findPassword('alice');
      assert.deepEqual([facts?.hash, facts?.generation], ['cost-12', 0]);
    });
  });
}

function describeEnds(name: string, open: OpenMetadataStore): void {
  describe(`${name}: disabled and removed users`, () => {
    const upload = { id: 'u1', state: '' };

    test('disabling tells what stops, ends sign-ins for good, and enabling brings the rest back', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const { users, credentials, policy } = store.accounts;
      await addUser(store, 'carol');
      await addUser(store, 'dave');
      await addOrganization(store, 'lab', 'carol');
      await addOrganization(store, 'acme', 'carol', 'dave');
      await addCredential(store, 'carol', 'personal', 'laptop');
      await addCredential(store, 'carol', 'personal', 'expired', { expiresAt: clock.unixSeconds() });
      await addCredential(store, 'carol', 'session', 'browser');
      await addCredential(store, 'carol', 'refresh', 'docker');
      await putManifest(store, repository('carol/app'), manifestOf({}));
      await store.uploads.begin({
        repository: repository('acme/app'),
        principal: 'carol',
        upload,
        limits: roomy,
      });
      const ended = {
        tokens: 1,
        sessions: 1,
        refreshTokens: 1,
        uploads: 1,
        onlyOwnerOf: ['lab'],
        repositories: 1,
      };
      const disable = async () =>
        assert.deepEqual(await users.disable({ name: 'carol', origin }), { outcome: 'disabled', ended });
      assert.deepEqual(await effectOf(store, disable), { told: ['user.disable user:carol'], moved: true });
      assert.equal((await policy.findSubjectByName('carol'))?.disabled, true);
      assert.notEqual((await users.find('carol'))?.disabledAt, undefined);
      const { passwordGeneration } = (await policy.findSubjectByName('carol')) ?? {};
      assert.equal(passwordGeneration, 1, 'access tokens that a password obtained are void for good');
      const again = () => users.disable({ name: 'carol', origin });
      assert.deepEqual(await effectOf(store, again), { told: [], moved: false });

      const enable = () => users.enable({ name: 'carol', origin });
      assert.deepEqual(await effectOf(store, enable), { told: ['user.enable user:carol'], moved: true });
      assert.deepEqual(await effectOf(store, enable), { told: [], moved: false });
      const kinds = ['personal', 'session', 'refresh'] as const;
      const { items } = await credentials.list('carol', { kinds, limit: 10 });
      assert.deepEqual(
        items.map(({ label }) => label),
        ['laptop', 'expired'],
      );
      assert.deepEqual(await users.disable({ name: 'none', origin }), { outcome: 'unknown' });
      assert.equal(await users.enable({ name: 'none', origin }), false);
    });

    test('a removed user leaves nothing that opens anything', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { accounts } = store;
      const { id } = await addUser(store, 'carol', { passwordHash: 'x' });
      await addUser(store, 'dave');
      await addOrganization(store, 'acme', 'dave', 'carol');
      await accounts.organizations.addTeam({ organization: 'acme', team: 'dev', origin });
      await accounts.organizations.addTeamMember({
        organization: 'acme',
        team: 'dev',
        user: 'carol',
        origin,
      });
      await accounts.grants.put({
        namespace: 'acme',
        subject: 'carol',
        pattern: 'acme/**',
        role: 'write',
        origin,
      });
      await accounts.grants.put({
        namespace: 'carol',
        subject: 'dave',
        pattern: 'carol/**',
        role: 'read',
        origin,
      });
      await accounts.robots.add({
        namespace: 'acme',
        name: 'ci',
        description: '',
        origin: { actor: 'carol' },
      });
      await accounts.robots.add({ namespace: 'carol', name: 'laptop', description: '', origin });
      const token = await addCredential(store, 'carol', 'personal', 'laptop');
      const app = repository('acme/app');
      await store.uploads.begin({ repository: app, principal: 'carol', upload, limits: roomy });

      const remove = () => accounts.users.remove({ name: 'carol', deleteRepositories: false, origin });
      assert.deepEqual(await effectOf(store, remove), { told: ['user.remove user:carol'], moved: true });
      assert.equal(await accounts.users.find('carol'), undefined);
      assert.equal(await accounts.users.findPassword('carol'), undefined);
      assert.equal(await accounts.policy.findSubject(id), undefined);
      assert.equal(await accounts.credentials.find(token.id), undefined);
      assert.equal(await accounts.organizations.findMember('acme', 'carol'), undefined);
      assert.equal((await accounts.organizations.findTeam('acme', 'dev'))?.members, 0);
      assert.deepEqual(await accounts.grants.list('acme', { limit: 10 }), { items: [], more: false });
      assert.equal(await store.uploads.find(app, 'carol', 'u1'), undefined);
      assert.deepEqual((await accounts.policy.findSubjectByName('dave'))?.grants, []);
      assert.notEqual(await accounts.robots.find('acme+ci'), undefined);
      assert.equal(await accounts.robots.find('carol+laptop'), undefined);
      assert.equal(await accounts.namespaces.find('carol'), undefined);
      assert.deepEqual(await remove(), { outcome: 'unknown' });
    });

    test('a user with repositories is removed only together with them, at once invisible', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { users, policy } = store.accounts;
      await addUser(store, 'carol');
      const app = repository('carol/app');
      await putManifest(store, app, manifestOf({}), { tags: ['v1'] });
      const remove = (deleteRepositories: boolean) =>
        users.remove({ name: 'carol', deleteRepositories, origin });
      assert.deepEqual(await remove(false), { outcome: 'has-repositories', repositories: 1 });
      assert.notEqual(await users.find('carol'), undefined);
      const removed = await remove(true);
      assert.equal(removed.outcome === 'removed' && removed.ended.repositories, 1);
      assert.equal(await store.repositories.find(app), undefined);
      assert.equal(await policy.findVisibility(app), undefined);
      assert.equal(await store.tags.list(app, { limit: 10 }), undefined);
    });

    test('the only owner of an organization is not removed before there is another', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { users, organizations } = store.accounts;
      await addUser(store, 'carol');
      await addUser(store, 'dave');
      await addOrganization(store, 'lab', 'carol');
      await addOrganization(store, 'beta', 'carol');
      const remove = () => users.remove({ name: 'carol', deleteRepositories: true, origin });
      assert.deepEqual(await remove(), { outcome: 'last-owner', organizations: ['beta', 'lab'] });
      await organizations.setMember({ organization: 'lab', user: 'dave', role: 'owner', origin });
      await organizations.remove({ name: 'beta', origin });
      assert.equal((await remove()).outcome, 'removed');
    });
  });
}

function describeLastAdministrator(name: string, open: OpenMetadataStore): void {
  describe(`${name}: the last administrator`, () => {
    test('it cannot be removed, disabled or demoted', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { users } = store.accounts;
      await addUser(store, 'admin', { role: 'administrator' });
      await addUser(store, 'auditor', { role: 'auditor' });
      const refused = { outcome: 'last-administrator' };
      const attempts = {
        remove: () => users.remove({ name: 'admin', deleteRepositories: true, origin }),
        disable: () => users.disable({ name: 'admin', origin }),
        demote: () => users.update({ name: 'admin', changes: { role: 'user' }, origin }),
      };
      for (const attempt of Object.values(attempts)) {
        const effect = await effectOf(store, async () => assert.deepEqual(await attempt(), refused));
        assert.deepEqual(effect, { told: [], moved: false });
      }
      const renamed = await users.update({ name: 'admin', changes: { fullName: 'A', guest: true }, origin });
      assert.equal(renamed.outcome, 'updated');

      // A disabled or a removed administrator is no other one.
      await addUser(store, 'second', { role: 'administrator' });
      assert.equal((await users.disable({ name: 'second', origin })).outcome, 'disabled');
      assert.deepEqual(await attempts.disable(), refused);
      assert.equal(
        (await users.remove({ name: 'second', deleteRepositories: true, origin })).outcome,
        'removed',
      );
      assert.deepEqual(await attempts.remove(), refused);
      await addUser(store, 'third', { role: 'administrator' });
      assert.equal((await attempts.demote()).outcome, 'updated');
    });

    test('of two that are taken away at the same moment one stays', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { users } = store.accounts;
      await addUser(store, 'one', { role: 'administrator' });
      await addUser(store, 'two', { role: 'administrator' });
      const outcomes = await Promise.all([
        users.disable({ name: 'one', origin }),
        users.remove({ name: 'two', deleteRepositories: false, origin }),
      ]);
      assert.deepEqual(outcomes.map(({ outcome }) => outcome).sort(), ['disabled', 'last-administrator']);
    });
  });
}
