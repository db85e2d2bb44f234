// Contract: what decisions rest on.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addOrganization, addUser, root } from '../support/accounts.ts';
import { linkBlob, manifestOf, manualClock, putManifest, repository } from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const origin = root;

export function describePolicyStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: policy`, () => {
    test('the facts about a user are everything that decides what it may', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { organizations, grants, policy } = store.accounts;
      const { id } = await addUser(store, 'alice', { role: 'auditor' });
      await addUser(store, 'bob');
      await addOrganization(store, 'lab', 'alice');
      await addOrganization(store, 'acme', 'bob');
      await organizations.addTeam({ organization: 'acme', team: 'dev', origin });
      await organizations.addTeam({ organization: 'acme', team: 'ops', origin });
      await organizations.addTeamMember({ organization: 'acme', team: 'dev', user: 'alice', origin });
      const given = [
        { namespace: 'acme', subject: 'acme/dev', pattern: 'acme/**', role: 'write' },
        { namespace: 'bob', subject: 'alice', pattern: 'bob/demo', role: 'read', expiresAt: 5 },
        { namespace: 'acme', subject: 'acme/ops', pattern: 'acme/**', role: 'admin' },
        { namespace: 'acme', subject: 'authenticated', pattern: 'acme/*', role: 'read' },
      ] as const;
      const ids: (number | undefined)[] = [];
      for (const grant of given) {
        const put = await grants.put({ ...grant, origin });
        ids.push('grant' in put ? put.grant.id : undefined);
      }
      const facts = await policy.findSubjectByName('alice');
      assert.deepEqual(facts, {
        id,
        kind: 'user',
        name: 'alice',
        registryRole: 'auditor',
        guest: false,
        disabled: false,
        passwordGeneration: 0,
        namespace: 'alice',
        organizations: [
          { name: 'acme', role: 'member' },
          { name: 'lab', role: 'owner' },
        ],
        teams: ['acme/dev'],
        grants: [
          {
            id: ids[0],
            subject: 'acme/dev',
            subjectKind: 'team',
            pattern: 'acme/**',
            role: 'write',
            expiresAt: undefined,
          },
          {
            id: ids[1],
            subject: 'alice',
            subjectKind: 'user',
            pattern: 'bob/demo',
            role: 'read',
            expiresAt: 5,
          },
        ],
      });
      assert.deepEqual(await policy.findSubject(id), facts);
    });

    test('the facts about a robot are its namespace and its grants', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { robots, policy } = store.accounts;
      await addOrganization(store, 'acme');
      const added = await robots.add({ namespace: 'acme', name: 'ci', description: '', origin });
      assert.ok(added.outcome === 'added');
      assert.deepEqual(await policy.findSubject(added.robot.id), {
        id: added.robot.id,
        kind: 'robot',
        name: 'acme+ci',
        registryRole: 'user',
        guest: false,
        disabled: false,
        passwordGeneration: 0,
        namespace: 'acme',
        organizations: [],
        teams: [],
        grants: [],
      });
    });

    test('a robot of a user’s own namespace rests while the user is disabled, one of an organization does not', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { robots, users, policy } = store.accounts;
      await addUser(store, 'carol');
      await addOrganization(store, 'acme', 'carol');
      for (const namespace of ['carol', 'acme'])
        await robots.add({ namespace, name: 'ci', description: '', origin: { actor: 'carol' } });
      const disabled = async () =>
        Promise.all(
          ['carol', 'carol+ci', 'acme+ci'].map(
            async (each) => (await policy.findSubjectByName(each))?.disabled,
          ),
        );
      await users.disable({ name: 'carol', origin });
      assert.deepEqual(await disabled(), [true, true, false]);
      await users.enable({ name: 'carol', origin });
      assert.deepEqual(await disabled(), [false, false, false]);
      await robots.update({ name: 'carol+ci', changes: { enabled: false }, origin });
      assert.deepEqual(await disabled(), [false, true, false]);
    });

    test('teams, everybody and nobody are no subjects of a decision', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { policy, organizations } = store.accounts;
      await addOrganization(store, 'acme');
      await organizations.addTeam({ organization: 'acme', team: 'dev', origin });
      for (const each of ['acme/dev', 'acme', 'anonymous', 'authenticated', 'none'])
        assert.equal(await policy.findSubjectByName(each), undefined, each);
      assert.equal(await policy.findSubject(1), undefined);
      assert.equal(await policy.findSubject(0), undefined);
    });

    test('common grants are those to everybody and to everybody who signed in', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { grants, policy } = store.accounts;
      await addUser(store, 'alice');
      await addOrganization(store, 'acme');
      assert.deepEqual(await policy.listCommonGrants(), []);
      for (const subject of ['authenticated', 'alice', 'anonymous'])
        await grants.put({ namespace: 'acme', subject, pattern: 'acme/**', role: 'read', origin });
      const common = await policy.listCommonGrants();
      assert.deepEqual(
        common.map(({ subject, subjectKind, role }) => [subject, subjectKind, role]),
        [
          ['authenticated', 'authenticated', 'read'],
          ['anonymous', 'anonymous', 'read'],
        ],
      );
    });

    test('content moves no generation, and its visibility is read as it is', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { policy } = store.accounts;
      const before = await policy.generation();
      const app = repository('team/app');
      assert.equal(await policy.findVisibility(app), undefined);
      await linkBlob(store, app, 'layer');
      assert.equal(await policy.findVisibility(app), 'private');
      await putManifest(store, app, manifestOf({}));
      assert.equal(await policy.findVisibility(app), 'private');
      assert.equal(await policy.generation(), before);
    });
  });
}
