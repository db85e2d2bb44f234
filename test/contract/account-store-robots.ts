// Contract: robots.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addCredential, addOrganization, addUser, effectOf, lastEvent, root } from '../support/accounts.ts';
import { manifestOf, manualClock, putManifest, repository, roomy } from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const origin = root;

export function describeRobotStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: robots`, () => {
    test('a robot belongs to a namespace of any kind and is found by its full name', async (t) => {
      const store = await open(t, { clock: manualClock(1_900_000_000) });
      const { robots } = store.accounts;
      await addUser(store, 'alice');
      await addOrganization(store, 'acme');
      await putManifest(store, repository('team/app'), manifestOf({}));
      const add = (namespace: string, short = 'ci') =>
        robots.add({ namespace, name: short, description: 'builds', origin });
      const effect = await effectOf(store, async () => {
        const added = await add('acme');
        assert.ok(added.outcome === 'added');
        assert.deepEqual(added.robot, {
          id: added.robot.id,
          name: 'acme+ci',
          namespace: 'acme',
          description: 'builds',
          createdAt: 1_900_000_000,
          disabledAt: undefined,
        });
        assert.deepEqual(await robots.find('acme+ci'), added.robot);
      });
      assert.deepEqual(effect, { told: ['robot.add robot:acme+ci'], moved: true });
      assert.equal((await lastEvent(store))?.namespace, 'acme');
      for (const namespace of ['alice', 'team', 'system', 'library'])
        assert.equal((await add(namespace)).outcome, 'added', namespace);
      assert.deepEqual(await add('acme'), { outcome: 'exists' });
      assert.deepEqual(await add('none'), { outcome: 'unknown' });
      assert.equal(await robots.find('alice'), undefined);
      assert.equal(await store.accounts.users.find('acme+ci'), undefined);
    });

    test('robots are listed by name in pages', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { robots } = store.accounts;
      await addOrganization(store, 'acme');
      await addOrganization(store, 'acme-two');
      for (const short of ['deploy', 'ci', 'scan'])
        await robots.add({ namespace: 'acme', name: short, description: '', origin });
      await robots.add({ namespace: 'acme-two', name: 'ci', description: '', origin });
      const list = async (page: { after?: string; limit: number }) => {
        const { items, more } = await robots.list('acme', page);
        return [items.map((robot) => robot.name), more];
      };
      assert.deepEqual(await list({ limit: 2 }), [['acme+ci', 'acme+deploy'], true]);
      assert.deepEqual(await list({ limit: 2, after: 'acme+deploy' }), [['acme+scan'], false]);
      assert.deepEqual(await robots.list('none', { limit: 10 }), { items: [], more: false });
    });

    test('a robot is disabled and enabled; its description decides nothing', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { robots, policy } = store.accounts;
      await addOrganization(store, 'acme');
      await robots.add({ namespace: 'acme', name: 'ci', description: 'builds', origin });
      const update = (changes: { enabled?: boolean; description?: string }) => () =>
        robots.update({ name: 'acme+ci', changes, origin });
      const told = ['robot.update robot:acme+ci'];
      assert.deepEqual(await effectOf(store, update({ enabled: false })), { told, moved: true });
      assert.equal((await policy.findSubjectByName('acme+ci'))?.disabled, true);
      assert.deepEqual(await effectOf(store, update({ enabled: false })), { told: [], moved: false });
      assert.deepEqual(await effectOf(store, update({ description: 'tests' })), { told, moved: false });
      assert.notEqual((await robots.find('acme+ci'))?.disabledAt, undefined);
      const robot = await update({ enabled: true })();
      assert.deepEqual([robot?.description, robot?.disabledAt], ['tests', undefined]);
      assert.deepEqual(await robots.find('acme+ci'), robot);
      assert.equal(await robots.update({ name: 'acme+none', changes: {}, origin }), undefined);
    });

    test('a removed robot takes tokens, grants and uploads along; a later one of its name inherits nothing', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { robots, grants, credentials, policy } = store.accounts;
      await addOrganization(store, 'acme');
      const add = () => robots.add({ namespace: 'acme', name: 'ci', description: '', origin });
      await add();
      const before = await policy.findSubjectByName('acme+ci');
      const token = await addCredential(store, 'acme+ci', 'robot', 'build');
      const grant = {
        namespace: 'acme',
        subject: 'acme+ci',
        pattern: 'acme/**',
        role: 'write',
        origin,
      } as const;
      await grants.put(grant);
      const app = repository('acme/app');
      const upload = { id: 'u1', state: '' };
      await store.uploads.begin({ repository: app, principal: 'acme+ci', upload, limits: roomy });
      const remove = () => robots.remove({ name: 'acme+ci', origin });
      assert.deepEqual(await effectOf(store, remove), { told: ['robot.remove robot:acme+ci'], moved: true });
      assert.equal(await remove(), false);
      await add();
      const after = await policy.findSubjectByName('acme+ci');
      assert.notEqual(after?.id, before?.id);
      assert.deepEqual(after?.grants, []);
      assert.equal(await credentials.find(token.id), undefined);
      assert.equal(await store.uploads.find(app, 'acme+ci', 'u1'), undefined);
    });
  });
}
