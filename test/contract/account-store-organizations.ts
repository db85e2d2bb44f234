// Contract: organizations, their members and owners, and their teams.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MemberRole } from '../../src/storage/account-store.ts';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import { addCredential, addOrganization, addUser, effectOf, lastEvent, root } from '../support/accounts.ts';
import { manifestOf, manualClock, putManifest, repository, roomy } from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const origin = root;

/** A store with an organization acme, owned by carol, and the users dave and erin. */
async function withAcme(store: MetadataStore) {
  for (const each of ['carol', 'dave', 'erin']) await addUser(store, each);
  await addOrganization(store, 'acme', 'carol');
  const { organizations } = store.accounts;
  return {
    organizations,
    set: (user: string, role: MemberRole, organization = 'acme') =>
      organizations.setMember({ organization, user, role, origin }),
    drop: (user: string, organization = 'acme') => organizations.removeMember({ organization, user, origin }),
  };
}

export function describeOrganizationStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: organizations`, () => {
    test('an organization is a namespace with an owner and a default visibility', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { organizations, namespaces } = store.accounts;
      await addUser(store, 'carol');
      const add = (options: { name: string; owner?: string; defaultVisibility?: 'public' }) =>
        organizations.add({ ...options, origin });
      const effect = await effectOf(store, async () => {
        const added = await add({ name: 'acme', owner: 'carol', defaultVisibility: 'public' });
        assert.deepEqual(added, { outcome: 'added', adopted: 0 });
      });
      assert.deepEqual(effect, { told: ['organization.add organization:acme'], moved: true });
      const found = await namespaces.find('acme');
      assert.deepEqual([found?.kind, found?.defaultVisibility], ['organization', 'public']);
      assert.deepEqual(await organizations.findMember('acme', 'carol'), { name: 'carol', role: 'owner' });
      assert.deepEqual(await add({ name: 'lab' }), { outcome: 'added', adopted: 0 });
      assert.deepEqual(await add({ name: 'acme' }), { outcome: 'exists' });
      assert.deepEqual(await add({ name: 'carol' }), { outcome: 'exists' });
      assert.deepEqual(await add({ name: 'beta', owner: 'none' }), { outcome: 'unknown' });
      assert.equal(await namespaces.find('beta'), undefined);
    });

    test('it takes over the namespace that a push made before it, with what is there', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await putManifest(store, repository('acme/app'), manifestOf({}), { tags: ['v1'] });
      const { organizations } = store.accounts;
      assert.deepEqual(await organizations.add({ name: 'acme', unusedName: true, origin }), {
        outcome: 'exists',
      });
      assert.deepEqual(await organizations.add({ name: 'lab', unusedName: true, origin }), {
        outcome: 'added',
        adopted: 0,
      });
      const added = await organizations.add({ name: 'acme', origin });
      assert.deepEqual(added, { outcome: 'added', adopted: 1 });
      assert.equal((await store.repositories.find(repository('acme/app')))?.visibility, 'private');
    });

    test('a removed organization takes robots, teams and grants along, and its name stays taken', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { organizations } = await withAcme(store);
      const { robots, grants, credentials, policy } = store.accounts;
      await organizations.addTeam({ organization: 'acme', team: 'dev', origin });
      await organizations.addTeamMember({ organization: 'acme', team: 'dev', user: 'dave', origin });
      await robots.add({ namespace: 'acme', name: 'ci', description: '', origin });
      const token = await addCredential(store, 'acme+ci', 'robot', 'build');
      const grant = { namespace: 'acme', pattern: 'acme/**', role: 'write', origin } as const;
      for (const subject of ['dave', 'acme/dev', 'acme+ci']) await grants.put({ ...grant, subject });
      const other = repository('other/app');
      const upload = { id: 'u1', state: '' };
      await store.uploads.begin({ repository: other, principal: 'acme+ci', upload, limits: roomy });

      const remove = () => organizations.remove({ name: 'acme', origin });
      const told = ['organization.remove organization:acme'];
      assert.deepEqual(await effectOf(store, remove), { told, moved: true });
      const before = { repositories: 0, grants: 3, robots: 1, teams: 1 };
      assert.deepEqual((await lastEvent(store))?.detail, { before });
      const facts = await policy.findSubjectByName('dave');
      assert.deepEqual([facts?.organizations, facts?.teams, facts?.grants], [[], [], []]);
      assert.deepEqual((await policy.findSubjectByName('carol'))?.organizations, []);
      assert.equal(await policy.findSubjectByName('acme+ci'), undefined);
      assert.equal(await credentials.findByHash(Buffer.alloc(32)), undefined);
      assert.equal(await credentials.find(token.id), undefined);
      assert.equal(await store.uploads.find(other, 'acme+ci', 'u1'), undefined);
      assert.deepEqual(await organizations.listMembers('acme', { limit: 10 }), { items: [], more: false });
      assert.deepEqual(await remove(), { outcome: 'unknown' });
      assert.deepEqual(await organizations.add({ name: 'acme', origin }), { outcome: 'exists' });
      const again = { namespace: 'acme', name: 'ci', description: '', origin };
      assert.deepEqual(await robots.add(again), { outcome: 'unknown' });
    });

    test('what is no organization cannot be removed as one, nor library and system at all', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await addUser(store, 'carol');
      for (const each of ['carol', 'none', 'library', 'system']) {
        const removed = await store.accounts.organizations.remove({ name: each, origin });
        assert.deepEqual(removed, { outcome: 'unknown' }, each);
      }
    });
  });

  describeMembers(name, open);
  describeTeams(name, open);
}

function describeMembers(name: string, open: OpenMetadataStore): void {
  describe(`${name}: members`, () => {
    test('members are set, listed by name in pages, and removed', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { organizations, set, drop } = await withAcme(store);
      const member = (each: string, role: MemberRole) => ({ name: each, role });
      assert.deepEqual(await effectOf(store, () => set('erin', 'member')), {
        told: ['member.set member:acme/erin'],
        moved: true,
      });
      assert.deepEqual(await effectOf(store, () => set('erin', 'member')), { told: [], moved: false });
      assert.deepEqual(await set('dave', 'member'), { outcome: 'added' });
      assert.deepEqual(await set('dave', 'owner'), { outcome: 'changed' });
      assert.deepEqual((await lastEvent(store))?.detail, {
        before: { role: 'member' },
        after: { role: 'owner' },
      });
      assert.equal((await lastEvent(store))?.namespace, 'acme');
      assert.deepEqual(await organizations.listMembers('acme', { limit: 2 }), {
        items: [member('carol', 'owner'), member('dave', 'owner')],
        more: true,
      });
      assert.deepEqual(await organizations.listMembers('acme', { limit: 2, after: 'dave' }), {
        items: [member('erin', 'member')],
        more: false,
      });
      assert.deepEqual(await effectOf(store, () => drop('erin')), {
        told: ['member.remove member:acme/erin'],
        moved: true,
      });
      assert.equal(await organizations.findMember('acme', 'erin'), undefined);
      assert.deepEqual(await drop('erin'), { outcome: 'unknown' });
    });

    test('who or what is not there is told apart', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { set, drop } = await withAcme(store);
      await store.accounts.robots.add({ namespace: 'acme', name: 'ci', description: '', origin });
      assert.deepEqual(await set('none', 'member'), { outcome: 'unknown-user' });
      assert.deepEqual(await set('acme+ci', 'member'), { outcome: 'unknown-user' });
      assert.deepEqual(await set('dave', 'member', 'none'), { outcome: 'unknown-organization' });
      assert.deepEqual(await set('dave', 'member', 'carol'), { outcome: 'unknown-organization' });
      assert.deepEqual(await drop('none'), { outcome: 'unknown' });
      assert.deepEqual(await drop('carol', 'none'), { outcome: 'unknown' });
    });

    test('the last owner is neither removed nor demoted, while there is one at all', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { set, drop } = await withAcme(store);
      await set('dave', 'member');
      assert.deepEqual(await drop('carol'), { outcome: 'last-owner' });
      assert.deepEqual(await set('carol', 'member'), { outcome: 'last-owner' });
      await set('dave', 'owner');
      assert.deepEqual(await set('carol', 'member'), { outcome: 'changed' });
      assert.deepEqual(await drop('dave'), { outcome: 'last-owner' });

      await addOrganization(store, 'lab');
      assert.deepEqual(await set('erin', 'member', 'lab'), { outcome: 'added' });
      assert.deepEqual(await drop('erin', 'lab'), { outcome: 'removed' });
    });

    test('who leaves an organization leaves its teams, and no other’s', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { organizations, drop } = await withAcme(store);
      await addOrganization(store, 'lab');
      for (const organization of ['acme', 'lab']) {
        await organizations.addTeam({ organization, team: 'dev', origin });
        await organizations.addTeamMember({ organization, team: 'dev', user: 'dave', origin });
      }
      await drop('dave');
      assert.deepEqual((await store.accounts.policy.findSubjectByName('dave'))?.teams, ['lab/dev']);
    });
  });
}

function describeTeams(name: string, open: OpenMetadataStore): void {
  describe(`${name}: teams`, () => {
    test('teams belong to an organization, are listed by name in pages, and are removed with their grants', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { organizations } = await withAcme(store);
      const add = (team: string, organization = 'acme') =>
        organizations.addTeam({ organization, team, origin });
      assert.deepEqual(await effectOf(store, () => add('ops')), {
        told: ['team.add team:acme/ops'],
        moved: true,
      });
      assert.deepEqual(await add('dev'), { outcome: 'added' });
      assert.deepEqual(await add('dev'), { outcome: 'exists' });
      assert.deepEqual(await add('dev', 'none'), { outcome: 'unknown' });
      assert.deepEqual(await add('dev', 'carol'), { outcome: 'unknown' });
      const team = (each: string) => ({ name: each, members: 0 });
      assert.deepEqual(await organizations.listTeams('acme', { limit: 1 }), {
        items: [team('dev')],
        more: true,
      });
      assert.deepEqual(await organizations.listTeams('acme', { limit: 1, after: 'dev' }), {
        items: [team('ops')],
        more: false,
      });
      const grant = {
        namespace: 'acme',
        subject: 'acme/dev',
        pattern: 'acme/**',
        role: 'read',
        origin,
      } as const;
      await store.accounts.grants.put(grant);
      const remove = () => organizations.removeTeam({ organization: 'acme', team: 'dev', origin });
      assert.deepEqual(await effectOf(store, remove), { told: ['team.remove team:acme/dev'], moved: true });
      assert.equal(await organizations.findTeam('acme', 'dev'), undefined);
      assert.deepEqual((await store.accounts.grants.list('acme', { limit: 10 })).items, []);
      assert.equal(await remove(), false);
      assert.deepEqual(await add('dev'), { outcome: 'added' });
    });

    test('who joins a team is a member of its organization from then on', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { organizations } = await withAcme(store);
      await organizations.addTeam({ organization: 'acme', team: 'dev', origin });
      const add =
        (user: string, team = 'dev') =>
        () =>
          organizations.addTeamMember({ organization: 'acme', team, user, origin });
      assert.deepEqual(await effectOf(store, add('erin')), {
        told: ['member.set member:acme/erin', 'team-member.add team-member:acme/dev/erin'],
        moved: true,
      });
      assert.deepEqual(await effectOf(store, add('carol')), {
        told: ['team-member.add team-member:acme/dev/carol'],
        moved: true,
      });
      assert.deepEqual(await effectOf(store, add('carol')), { told: [], moved: false });
      assert.deepEqual(await add('erin')(), { outcome: 'unchanged' });
      assert.deepEqual(await add('none')(), { outcome: 'unknown-user' });
      assert.deepEqual(await add('dave', 'none')(), { outcome: 'unknown-team' });
      assert.deepEqual(await organizations.findMember('acme', 'erin'), { name: 'erin', role: 'member' });
      assert.deepEqual(await organizations.findMember('acme', 'carol'), { name: 'carol', role: 'owner' });
      assert.deepEqual(await organizations.findTeam('acme', 'dev'), { name: 'dev', members: 2 });
      assert.deepEqual(await organizations.listTeamMembers('acme', 'dev', { limit: 1 }), {
        items: [{ name: 'carol' }],
        more: true,
      });
      assert.deepEqual(await organizations.listTeamMembers('acme', 'dev', { limit: 1, after: 'carol' }), {
        items: [{ name: 'erin' }],
        more: false,
      });
    });

    test('who leaves a team stays in the organization', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { organizations } = await withAcme(store);
      await organizations.addTeam({ organization: 'acme', team: 'dev', origin });
      await organizations.addTeamMember({ organization: 'acme', team: 'dev', user: 'dave', origin });
      const remove = (user: string, team = 'dev') =>
        organizations.removeTeamMember({ organization: 'acme', team, user, origin });
      const told = ['team-member.remove team-member:acme/dev/dave'];
      assert.deepEqual(await effectOf(store, () => remove('dave')), { told, moved: true });
      assert.deepEqual(
        [await remove('dave'), await remove('none'), await remove('dave', 'none')],
        [false, false, false],
      );
      assert.deepEqual(await organizations.findMember('acme', 'dave'), { name: 'dave', role: 'member' });
    });
  });
}
