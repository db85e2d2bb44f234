// The account store's rows over time: closed and opened again, killed, and made by an older Berth.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import Database from 'better-sqlite3';
import type { AccountStore } from '../../src/storage/account-store.ts';
import { shippedMigrations } from '../../src/storage/sqlite/migrate.ts';
import { prepareDatabase } from '../../src/storage/sqlite/prepare-database.ts';
import { addCredential, addOrganization, addUser, hashOf, root } from '../support/accounts.ts';
import { makeFolder, onEnd } from '../support/cleanup.ts';
import { alice, keepTimes, manualClock, openTestStore, repository, roomy } from '../support/metadata.ts';

const origin = root;

/** Everything that the account store answers, read twice and compared. */
async function snapshot({ users, organizations, robots, namespaces, grants, ...rest }: AccountStore) {
  const limit = 100;
  return {
    users: await users.list({ limit }),
    password: await users.findPassword('alice'),
    members: await organizations.listMembers('acme', { limit }),
    teams: await organizations.listTeams('acme', { limit }),
    teamMembers: await organizations.listTeamMembers('acme', 'dev', { limit }),
    robots: await robots.list('acme', { limit }),
    namespaces: await namespaces.list({ limit }),
    grants: await grants.list('acme', { limit }),
    tokens: await rest.credentials.list('alice', { kinds: ['personal', 'session'], limit }),
    secret: await rest.credentials.findByHash(hashOf('laptop')),
    keys: await rest.keys.list(),
    generation: await rest.policy.generation(),
    facts: await rest.policy.findSubjectByName('alice'),
    gone: await rest.policy.findSubjectByName('bob'),
  };
}

test('everything is there after the store was closed and opened again', async (t) => {
  const { store, folder, close } = await openTestStore(t);
  const { accounts } = store;
  await addUser(store, 'alice', { role: 'administrator', passwordHash: 'hash' });
  await addUser(store, 'bob');
  await addOrganization(store, 'acme', 'alice');
  await accounts.organizations.addTeam({ organization: 'acme', team: 'dev', origin });
  await accounts.organizations.addTeamMember({ organization: 'acme', team: 'dev', user: 'alice', origin });
  await accounts.robots.add({ namespace: 'acme', name: 'ci', description: 'builds', origin });
  const grant = { namespace: 'acme', subject: 'acme/dev', pattern: 'acme/**', role: 'write' } as const;
  await accounts.grants.put({ ...grant, origin });
  await addCredential(store, 'alice', 'personal', 'laptop');
  await addCredential(store, 'alice', 'session', 'browser');
  await accounts.keys.rotate({ kid: 'k', jwk: '{}', dropRetiredBefore: 0, origin });
  await accounts.namespaces.setDefaultVisibility('internal');
  await accounts.users.remove({ name: 'bob', deleteRepositories: false, origin });
  const before = await snapshot(accounts);
  const told = await store.events.audit({ filter: {}, limit: 100 });
  await close();

  const again = await openTestStore(t, { folder });
  assert.deepEqual(await snapshot(again.store.accounts), before);
  assert.deepEqual(await again.store.events.audit({ filter: {}, limit: 100 }), told);
  await again.store.uploads.begin({
    repository: repository('acme/app'),
    principal: 'alice',
    upload: { id: 'u1', state: '' },
    limits: roomy,
  });
  assert.equal(await again.store.accounts.policy.findVisibility(repository('acme/app')), 'internal');
  assert.equal(before.gone, undefined);
});

/** A folder of the migrations up to number `last`. */
async function migrationsUpTo(t: TestContext, last: number): Promise<string> {
  const folder = await makeFolder(t, 'migrations');
  cpSync(shippedMigrations, folder, { recursive: true });
  for (const file of readdirSync(folder)) if (Number(file.slice(0, 4)) > last) rmSync(join(folder, file));
  return folder;
}

/** Rows that a Berth before access control wrote: it had this table of events, and knew no default visibility. */
function writeAsBefore(db: Database.Database, name: string, namespace: string, tag: string): void {
  db.prepare(
    `INSERT INTO namespace (name, kind, created_at) VALUES (?, 'unowned', 1) ON CONFLICT DO NOTHING`,
  ).run(namespace);
  const repositoryId = db
    .prepare(
      `INSERT INTO repository (namespace_id, name, state, created_at)
        SELECT id, ?, 'live', 1 FROM namespace WHERE name = ?`,
    )
    .run(name, namespace).lastInsertRowid;
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, name }));
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const manifestId = db
    .prepare(
      `INSERT INTO manifest (repository_id, digest, media_type, image_bytes, pushed_at, pushed_by, lease_ticks, bytes)
        VALUES (?, ?, 'application/vnd.oci.image.manifest.v1+json', 0, 1, 'anonymous', 0, ?)`,
    )
    .run(repositoryId, digest, bytes).lastInsertRowid;
  db.prepare('UPDATE repository SET manifests = 1 WHERE id = ?').run(repositoryId);
  db.prepare('INSERT INTO tag (repository_id, name, manifest_id, updated_at) VALUES (?, ?, ?, 1)').run(
    repositoryId,
    tag,
    manifestId,
  );
  db.prepare(
    `INSERT INTO event (at, kind, actor, repository, reference, digest) VALUES (1, 'push', 'anonymous', ?, ?, ?)`,
  ).run(name, tag, digest);
}

test('what was pushed before there were accounts stays, in namespaces without owner', async (t) => {
  const folder = await makeFolder(t, 'before');
  prepareDatabase({ folder, migrationsFolder: await migrationsUpTo(t, 1), at: 1 });
  const db = new Database(join(folder, 'berth.db'));
  db.pragma('foreign_keys = ON');
  writeAsBefore(db, 'alpine', 'library', 'latest');
  writeAsBefore(db, 'team/app', 'team', 'v1');
  writeAsBefore(db, 'system/tools', 'system', 'v2');
  db.close();

  const { store } = await openTestStore(t, { folder });
  const { items } = await store.repositories.list({ limit: 10 });
  assert.deepEqual(
    items.map(({ name, visibility, manifests }) => [name, visibility, manifests]),
    [
      ['alpine', 'private', 1],
      ['system/tools', 'private', 1],
      ['team/app', 'private', 1],
    ],
  );
  assert.deepEqual(await store.tags.list(repository('alpine'), { limit: 10 }), {
    items: ['latest'],
    more: false,
  });
  const namespaces = await store.accounts.namespaces.list({ limit: 10 });
  assert.deepEqual(
    namespaces.items.map(({ name, kind, repositories }) => [name, kind, repositories]),
    [
      ['library', 'organization', 1],
      ['system', 'organization', 1],
      ['team', 'unowned', 1],
    ],
  );
  const told = await store.events.audit({ filter: { repository: 'team/app' }, limit: 10 });
  assert.deepEqual(
    told.items.map(({ kind, outcome, namespace, detail }) => [kind, outcome, namespace, detail]),
    [['push', 'allowed', 'team', undefined]],
  );
  assert.deepEqual(
    (await store.events.audit({ filter: { namespace: 'library' }, limit: 10 })).items.length,
    1,
  );
  assert.deepEqual(await store.accounts.organizations.add({ name: 'team', origin }), {
    outcome: 'added',
    adopted: 1,
  });
  assert.equal(await store.accounts.users.count(), 0);
});

test('repositories of a removed namespace keep their rows until the grace time is over', async (t) => {
  const clock = manualClock();
  const { store, folder } = await openTestStore(t, { clock });
  const db = new Database(join(folder, 'berth.db'), { readonly: true });
  onEnd(t, () => db.close());
  await addOrganization(store, 'acme');
  const upload = { id: 'u1', state: '' };
  await store.uploads.begin({
    repository: repository('acme/app'),
    principal: 'alice',
    upload,
    limits: roomy,
  });
  await store.repositories.add({ name: repository('acme/app'), origin: alice });
  clock.advance(100);
  await store.accounts.organizations.remove({ name: 'acme', origin: alice });
  assert.deepEqual(db.prepare('SELECT name, state, until_ticks FROM repository').all(), [
    { name: 'acme/app', state: 'deleted', until_ticks: 100 + keepTimes.undeleteSeconds },
  ]);
  // Nothing of it goes as an abandoned upload does.
  await store.uploads.expire({ idleSeconds: 1, longestSeconds: 1, limit: 10 });
  assert.equal(db.prepare('SELECT count(*) FROM repository').pluck().get(), 1);
  assert.deepEqual(db.pragma('foreign_key_check'), []);
});

test('secrets and hashes are in no event, whatever was done', async (t) => {
  const { store, folder } = await openTestStore(t);
  const db = new Database(join(folder, 'berth.db'), { readonly: true });
  onEnd(t, () => db.close());
  const { users, credentials } = store.accounts;
  await addUser(store, 'alice', { passwordHash: 'hash-1' });
  await users.setPassword({ name: 'alice', hash: 'hash-2', origin });
  await addCredential(store, 'alice', 'setPassword', 'code');
  await credentials.redeemCode({ hash: hashOf('code'), name: 'alice', passwordHash: 'hash-3', origin });
  await store.accounts.keys.rotate({ kid: 'k', jwk: 'hash-4', dropRetiredBefore: 0, origin });
  await users.remove({ name: 'alice', deleteRepositories: false, origin });
  const events = JSON.stringify(db.prepare('SELECT * FROM event').all());
  assert.ok(!events.includes('hash-'), events);
  assert.ok(!events.includes(hashOf('code').toString('hex')));
  assert.equal(db.prepare('SELECT count(*) FROM subject WHERE password_hash IS NOT NULL').pluck().get(), 0);
});
