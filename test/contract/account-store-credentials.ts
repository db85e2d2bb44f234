// Contract: credentials: tokens, refresh tokens, sessions and one-time codes.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Credential, credentialKinds } from '../../src/storage/account-store.ts';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import {
  addCredential,
  addOrganization,
  addUser,
  effectOf,
  hashOf,
  lastEvent,
  root,
} from '../support/accounts.ts';
import { manualClock } from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const origin = root;

/** A store with the users alice and bob and the robot acme+ci. */
async function withBearers(store: MetadataStore) {
  await addUser(store, 'alice', { passwordHash: 'x' });
  await addUser(store, 'bob');
  await addOrganization(store, 'acme');
  await store.accounts.robots.add({ namespace: 'acme', name: 'ci', description: '', origin });
  return store.accounts.credentials;
}

async function labelsOf({ accounts }: MetadataStore, subject: string): Promise<string[]> {
  const { items } = await accounts.credentials.list(subject, { kinds: credentialKinds, limit: 100 });
  return items.map(({ label }) => label);
}

export function describeCredentialStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: credentials`, () => {
    test('tokens that end soon or that nobody uses are told, those of whoever is disabled left out', async (t) => {
      const clock = manualClock(1_900_000_000);
      const store = await open(t, { clock });
      const credentials = await withBearers(store);
      const day = 86_400;
      const at = (days: number) => 1_900_000_000 + days * day;
      await addCredential(store, 'alice', 'personal', 'ends late', { expiresAt: at(100) });
      await addCredential(store, 'alice', 'personal', 'ends second', { expiresAt: at(12) });
      await addCredential(store, 'acme+ci', 'robot', 'ends first', { expiresAt: at(11) });
      await addCredential(store, 'alice', 'session', 'no token', { expiresAt: at(11) });
      await addCredential(store, 'bob', 'personal', 'of bob', { expiresAt: at(11) });
      const used = await addCredential(store, 'alice', 'personal', 'in use');
      await store.accounts.users.disable({ name: 'bob', origin });
      clock.advance(10 * day);
      await credentials.recordUses([{ id: used.id, at: at(10), from: '192.0.2.9' }]);
      const ask = async (unusedSince: number | undefined, limit = 10) => {
        const found = await credentials.listNotable({
          now: at(10),
          expiresBefore: at(20),
          unusedSince,
          limit,
        });
        const labels = (tokens: readonly Credential[]) => tokens.map(({ label }) => label);
        return { expiring: labels(found.expiring), unused: labels(found.unused) };
      };
      assert.deepEqual(await ask(at(5)), {
        expiring: ['ends first', 'ends second'],
        unused: ['ends late', 'ends second', 'ends first'],
      });
      assert.deepEqual(await ask(at(0)), { expiring: ['ends first', 'ends second'], unused: [] });
      assert.deepEqual(await ask(undefined, 1), { expiring: ['ends first'], unused: [] });
    });

    test('a credential is found by the hash of its secret and by id, with its bounds', async (t) => {
      const store = await open(t, { clock: manualClock(1_900_000_000) });
      const credentials = await withBearers(store);
      const added = await credentials.add({
        subject: 'alice',
        kind: 'personal',
        hash: hashOf('secret'),
        label: 'laptop',
        role: 'write',
        patterns: ['acme/**', 'alice/*'],
        expiresAt: 1_900_000_100.7,
        origin,
      });
      assert.ok(added.outcome === 'added');
      const expected: Credential = {
        id: added.credential.id,
        subjectId: (await store.accounts.users.find('alice'))?.id ?? 0,
        subject: 'alice',
        kind: 'personal',
        label: 'laptop',
        role: 'write',
        patterns: ['acme/**', 'alice/*'],
        parentId: undefined,
        createdAt: 1_900_000_000,
        expiresAt: 1_900_000_100,
        lastUsedAt: undefined,
        lastUsedFrom: undefined,
      };
      assert.deepEqual(added.credential, expected);
      assert.deepEqual(await credentials.findByHash(hashOf('secret')), expected);
      assert.deepEqual(await credentials.find(expected.id), expected);
      assert.equal(await credentials.findByHash(hashOf('Secret')), undefined);
      assert.equal(await credentials.find(expected.id + 1), undefined);
      const told = await lastEvent(store);
      const { role, patterns, expiresAt } = expected;
      assert.deepEqual(
        [told?.kind, told?.object, told?.namespace, told?.detail],
        ['token.add', 'token:alice/laptop', undefined, { after: { role, patterns, expiresAt } }],
      );
    });

    test('no bounds are no bounds, and an empty list of patterns is one', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const credentials = await withBearers(store);
      const free = await addCredential(store, 'alice', 'session', 'browser');
      assert.deepEqual([free.role, free.patterns, free.expiresAt], [undefined, undefined, undefined]);
      const bound = { subject: 'alice', kind: 'personal', hash: hashOf('x'), label: 'x', origin } as const;
      const added = await credentials.add({ ...bound, patterns: [] });
      assert.deepEqual(added.outcome === 'added' && added.credential.patterns, []);
    });

    test('a label names one token of a subject; sessions and refresh tokens may share theirs', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const credentials = await withBearers(store);
      const add = async (subject: string, kind: Credential['kind'], label: string, secret: string) =>
        (await credentials.add({ subject, kind, hash: hashOf(secret), label, origin })).outcome;
      assert.equal(await add('alice', 'personal', 'ci', '1'), 'added');
      assert.equal(await add('alice', 'personal', 'ci', '2'), 'exists');
      assert.equal(await add('bob', 'personal', 'ci', '3'), 'added');
      assert.equal(await add('alice', 'refresh', 'ci', '4'), 'added');
      assert.equal(await add('alice', 'refresh', 'ci', '5'), 'added');
      assert.equal(await add('acme+ci', 'robot', 'ci', '6'), 'added');
      for (const subject of ['none', 'acme', 'authenticated', 'anonymous'])
        assert.equal(await add(subject, 'personal', 'x', subject), 'unknown', subject);
    });

    test('tokens and codes are told of, what a sign-in makes is not, and adding decides nothing', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await withBearers(store);
      const add = (subject: string, kind: Credential['kind']) =>
        effectOf(store, () => addCredential(store, subject, kind, kind));
      const moved = false;
      assert.deepEqual(await add('alice', 'personal'), { told: ['token.add token:alice/personal'], moved });
      assert.deepEqual(await add('alice', 'session'), { told: [], moved });
      assert.deepEqual(await add('alice', 'refresh'), { told: [], moved });
      assert.deepEqual(await add('alice', 'setPassword'), { told: ['code.add code:alice'], moved });
      assert.deepEqual(await add('acme+ci', 'robot'), { told: ['token.add token:acme+ci/robot'], moved });
      assert.equal((await lastEvent(store))?.namespace, 'acme');
      const { items } = await store.events.read({ after: 0, limit: 100 });
      assert.ok(!JSON.stringify(items).includes(hashOf('personal').toString('hex')));
    });

    test('credentials are listed by id in pages, of the kinds asked for', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const credentials = await withBearers(store);
      const kinds = ['session', 'personal', 'refresh', 'session', 'personal'] as const;
      for (const [index, kind] of kinds.entries())
        await addCredential(store, 'alice', kind, `${kind}${index}`);
      const list = async (options: Parameters<typeof credentials.list>[1]) => {
        const { items, more } = await credentials.list('alice', options);
        return { labels: items.map(({ label }) => label), more, last: items.at(-1)?.id };
      };
      const first = await list({ kinds: ['personal', 'session'], limit: 3 });
      assert.deepEqual([first.labels, first.more], [['session0', 'personal1', 'session3'], true]);
      const rest = await list({ kinds: ['personal', 'session'], limit: 3, after: first.last });
      assert.deepEqual([rest.labels, rest.more], [['personal4'], false]);
      assert.deepEqual((await list({ kinds: ['refresh'], limit: 3 })).labels, ['refresh2']);
      assert.deepEqual((await list({ kinds: ['robot'], limit: 3 })).labels, []);
      assert.deepEqual((await credentials.list('none', { kinds, limit: 3 })).items, []);
    });
  });

  describeRemoval(name, open);
  describeUse(name, open);
}

function describeRemoval(name: string, open: OpenMetadataStore): void {
  describe(`${name}: ends of credentials`, () => {
    test('what was obtained with a token ends with it', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const credentials = await withBearers(store);
      const parent = await addCredential(store, 'alice', 'personal', 'laptop');
      const child = await addCredential(store, 'alice', 'refresh', 'docker', { parentId: parent.id });
      await addCredential(store, 'alice', 'refresh', 'other');
      assert.equal(child.parentId, parent.id);
      const { id } = parent;
      const remove = () => credentials.remove({ subject: 'alice', id, kinds: ['personal'], origin });
      assert.deepEqual(await effectOf(store, remove), {
        told: ['token.remove token:alice/laptop'],
        moved: true,
      });
      assert.deepEqual(await labelsOf(store, 'alice'), ['other']);
      assert.equal(await remove(), false);
      const late = { subject: 'alice', kind: 'refresh', hash: hashOf('late'), label: '', origin } as const;
      assert.deepEqual(await credentials.add({ ...late, parentId: id }), { outcome: 'unknown' });
    });

    test('nothing is obtained with somebody else’s token', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const credentials = await withBearers(store);
      const { id: parentId } = await addCredential(store, 'bob', 'personal', 'laptop');
      const child = { subject: 'alice', kind: 'refresh', hash: hashOf('x'), label: '', origin } as const;
      assert.deepEqual(await credentials.add({ ...child, parentId }), { outcome: 'unknown' });
    });

    test('only one of the subject and of the kinds named is removed', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const credentials = await withBearers(store);
      const { id } = await addCredential(store, 'alice', 'personal', 'laptop');
      const { id: session } = await addCredential(store, 'alice', 'session', 'browser');
      const remove = (subject: string, each: number, kinds: readonly Credential['kind'][]) =>
        credentials.remove({ subject, id: each, kinds, origin });
      assert.equal(await remove('bob', id, ['personal']), false);
      assert.equal(await remove('alice', id, ['session', 'refresh']), false);
      assert.equal(await remove('alice', id, []), false);
      assert.equal((await labelsOf(store, 'alice')).length, 2);
      const end = () => remove('alice', session, ['session']);
      const told = [`session.remove session:alice/${session}`];
      assert.deepEqual(await effectOf(store, end), { told, moved: true });
    });

    test('all of some kinds end together: each token is told of, sessions by their number', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const credentials = await withBearers(store);
      for (const label of ['a', 'b']) await addCredential(store, 'alice', 'personal', label);
      for (const label of ['s1', 's2']) await addCredential(store, 'alice', 'session', label);
      await addCredential(store, 'alice', 'refresh', 'r1');
      const removeAll = (kinds: readonly Credential['kind'][], expected: number) => async () =>
        assert.equal(await credentials.removeAll({ subject: 'alice', kinds, origin }), expected);
      assert.deepEqual(await effectOf(store, removeAll(['session', 'refresh'], 3)), {
        told: ['session.remove session:alice'],
        moved: true,
      });
      assert.deepEqual((await lastEvent(store))?.detail, { before: { count: 3 } });
      assert.deepEqual(await effectOf(store, removeAll(['session'], 0)), { told: [], moved: false });
      assert.deepEqual(await effectOf(store, removeAll(['personal', 'robot'], 2)), {
        told: ['token.remove token:alice/a', 'token.remove token:alice/b'],
        moved: true,
      });
      assert.equal(await credentials.removeAll({ subject: 'none', kinds: ['personal'], origin }), 0);
    });

    test('a code sets the password once, before it expires, and for its user alone', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const credentials = await withBearers(store);
      const expiresAt = clock.unixSeconds() + 100;
      await addCredential(store, 'alice', 'setPassword', 'code', { expiresAt });
      await addCredential(store, 'alice', 'setPassword', 'second', { expiresAt });
      await addCredential(store, 'alice', 'session', 'browser');
      const redeem = (secret: string, user = 'alice') =>
        credentials.redeemCode({ hash: hashOf(secret), name: user, passwordHash: 'new', origin });
      assert.equal(await redeem('code', 'bob'), false);
      assert.equal(await redeem('browser'), false);
      const told = ['user.password user:alice'];
      assert.deepEqual(await effectOf(store, () => redeem('code')), { told, moved: true });
      assert.equal((await store.accounts.users.findPassword('alice'))?.hash, 'new');
      assert.deepEqual(await labelsOf(store, 'alice'), []);
      assert.deepEqual([await redeem('code'), await redeem('second')], [false, false]);
      await addCredential(store, 'alice', 'setPassword', 'third', { expiresAt });
      clock.advance(100);
      assert.equal(await redeem('third'), false);
    });

    test('what has expired and is of no more use is dropped up to a limit; tokens stay', async (t) => {
      const clock = manualClock();
      const store = await open(t, { clock });
      const credentials = await withBearers(store);
      const soon = clock.unixSeconds() + 10;
      for (const kind of ['personal', 'session', 'refresh', 'setPassword'] as const)
        await addCredential(store, 'alice', kind, kind, { expiresAt: soon });
      await addCredential(store, 'alice', 'session', 'later', { expiresAt: soon + 1 });
      await addCredential(store, 'alice', 'session', 'endless');
      assert.equal(await credentials.dropExpired(10), 0);
      clock.advance(10);
      assert.equal(await credentials.dropExpired(2), 2);
      assert.equal(await credentials.dropExpired(10), 1);
      assert.deepEqual(await labelsOf(store, 'alice'), ['personal', 'later', 'endless']);
      assert.notEqual(await credentials.findByHash(hashOf('personal')), undefined);
    });
  });
}

function describeUse(name: string, open: OpenMetadataStore): void {
  describe(`${name}: uses of credentials`, () => {
    test('the newest use is kept, whatever the order of the notes, and what is gone is left out', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const credentials = await withBearers(store);
      const { id } = await addCredential(store, 'alice', 'personal', 'laptop');
      const record = () =>
        credentials.recordUses([
          { id, at: 200.9, from: '192.0.2.2' },
          { id: id + 1, at: 300, from: '192.0.2.3' },
          { id, at: 100, from: '192.0.2.1' },
        ]);
      assert.deepEqual(await effectOf(store, record), { told: [], moved: false });
      const used = await credentials.find(id);
      assert.deepEqual([used?.lastUsedAt, used?.lastUsedFrom], [200, '192.0.2.2']);
    });
  });
}
