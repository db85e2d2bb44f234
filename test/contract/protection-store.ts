// Contract: rules of protection hold on every way in which a tag is set or goes, and for everybody whom they do not exempt.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MetadataStore, Origin } from '../../src/storage/metadata-store.ts';
import {
  type ProtectionRule,
  TagProtectedError,
  type TagProtection,
} from '../../src/storage/protection-store.ts';
import { addUser } from '../support/accounts.ts';
import { alice, manifestOf, manualClock, putManifest, repository, tag } from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

const app = repository('acme/app');
const deep = repository('acme/team/app');
const other = repository('other/app');
const one = manifestOf({ note: 'one' });
const two = manifestOf({ note: 'two' });

const rule = (parts: Partial<ProtectionRule>): ProtectionRule => ({
  repositories: '**',
  tags: 'v*',
  rule: 'immutable',
  exempt: [],
  ...parts,
});
const by = (actor: string): Origin => ({ actor });

const refuses =
  (act: TagProtection['act'], name: string, namespace = 'acme') =>
  (error: unknown) =>
    error instanceof TagProtectedError &&
    error.protection.act === act &&
    error.protection.tag === name &&
    error.protection.held.namespace === namespace;

/** acme/app and other/app with one:v1.0 and one:dev. */
async function start(store: MetadataStore, ...rules: readonly ProtectionRule[]): Promise<void> {
  for (const name of [app, deep, other]) await putManifest(store, name, one, { tags: ['v1.0', 'dev'] });
  await set(store, 'acme', ...rules);
}

async function set(store: MetadataStore, namespace: string, ...rules: readonly ProtectionRule[]) {
  const outcome = await store.protection.set({ namespace, rules, origin: alice });
  assert.deepEqual(outcome, { outcome: 'set' });
}

export function describeProtectionStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: protection`, () => {
    test('rules of exactly a repository follow it: in its namespace in their place, elsewhere behind the others', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await addUser(store, 'bob');
      const exact = rule({ repositories: app, exempt: ['bob'] });
      const rest = rule({ repositories: 'acme/team/**', rule: 'no-delete' });
      await start(store, exact, rest);
      const own = rule({ rule: 'create-only', tags: 'x*' });
      await set(store, 'other', own);
      const policies = [{ repositories: [app, 'acme/team/**'], keepTags: [] }];
      await store.retention.setRules({ namespace: 'acme', rules: { policies }, origin: alice });
      const [within, elsewhere] = [repository('acme/moved'), repository('other/moved')];
      await store.repositories.move({ from: app, to: within, origin: alice });
      assert.deepEqual(await store.protection.list('acme'), [{ ...exact, repositories: within }, rest]);
      assert.deepEqual((await store.retention.findRules('acme'))?.rules, {
        policies: [{ repositories: [within, 'acme/team/**'], keepTags: [] }],
      });
      await assert.rejects(store.tags.remove(within, tag('v1.0'), alice), refuses('delete', 'v1.0'));
      await store.repositories.move({ from: within, to: elsewhere, origin: alice });
      assert.deepEqual(await store.protection.list('acme'), [rest]);
      assert.deepEqual(await store.protection.list('other'), [own, { ...exact, repositories: elsewhere }]);
      await assert.rejects(
        store.tags.remove(elsewhere, tag('v1.0'), alice),
        refuses('delete', 'v1.0', 'other'),
      );
      assert.equal(await store.tags.remove(elsewhere, tag('v1.0'), by('bob')), true);
    });

    test('an immutable tag is neither moved nor deleted, nor is its manifest; another tag is', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await start(store, rule({}));
      await assert.rejects(putManifest(store, app, two, { tags: ['v1.0'] }), refuses('move', 'v1.0'));
      await assert.rejects(store.tags.remove(app, tag('v1.0'), alice), refuses('delete', 'v1.0'));
      await assert.rejects(
        store.manifests.remove(app, one.digest, alice),
        (error: unknown) =>
          refuses('delete manifest', 'v1.0')(error) &&
          (error as TagProtectedError).protection.digest === one.digest,
      );
      assert.equal(await store.manifests.find(app, { digest: two.digest }), undefined);
      await putManifest(store, app, two, { tags: ['dev', 'v2.0'] });
      assert.equal(await store.tags.remove(app, tag('dev'), alice), true);
      assert.deepEqual(await store.manifests.remove(other, one.digest, alice), { outcome: 'removed' });
    });

    test('a tag that is set to what it is changes nothing and is allowed', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await start(store, rule({}));
      await putManifest(store, app, one, { tags: ['v1.0'] });
      assert.equal((await store.events.tagHistory(app, tag('v1.0'), 9)).length, 1);
    });

    test('of several tags none is set where one is protected', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await start(store, rule({}));
      await assert.rejects(putManifest(store, app, two, { tags: ['new', 'v1.0'] }), TagProtectedError);
      assert.equal(await store.manifests.find(app, { tag: tag('new') }), undefined);
      assert.equal(await store.manifests.find(app, { digest: two.digest }), undefined);
    });

    test('create-only is deleted and set anew, but not moved', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await start(store, rule({ rule: 'create-only' }));
      await assert.rejects(putManifest(store, app, two, { tags: ['v1.0'] }), refuses('move', 'v1.0'));
      assert.equal(await store.tags.remove(app, tag('v1.0'), alice), true);
      await putManifest(store, app, two, { tags: ['v1.0'] });
      assert.deepEqual(await store.manifests.remove(app, two.digest, alice), { outcome: 'removed' });
    });

    test('no-delete is moved, and then the manifest it left may go', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await start(store, rule({ rule: 'no-delete' }));
      await assert.rejects(store.tags.remove(app, tag('v1.0'), alice), refuses('delete', 'v1.0'));
      await putManifest(store, app, two, { tags: ['v1.0'] });
      assert.deepEqual(await store.manifests.remove(app, one.digest, alice), { outcome: 'removed' });
      await assert.rejects(
        store.manifests.remove(app, two.digest, alice),
        refuses('delete manifest', 'v1.0'),
      );
    });

    test('rules are for the repositories of their pattern, and those of system for all', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await start(store, rule({ repositories: 'acme/app' }));
      await putManifest(store, deep, two, { tags: ['v1.0'] });
      await putManifest(store, other, two, { tags: ['v1.0'] });
      await set(store, 'system', rule({ repositories: '**', tags: 'dev' }));
      for (const place of [app, deep, other])
        await assert.rejects(
          putManifest(store, place, two, { tags: ['dev'] }),
          refuses('move', 'dev', 'system'),
        );
      await set(store, 'system', rule({ repositories: 'other/*', tags: 'dev' }));
      await putManifest(store, app, two, { tags: ['dev'] });
      await assert.rejects(putManifest(store, other, two, { tags: ['dev'] }), TagProtectedError);
      assert.equal((await store.protection.rulesOf(app))(tag('dev')), undefined);
    });

    test('a rule that was taken away holds no more, from the next change on', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await start(store, rule({}));
      await assert.rejects(putManifest(store, app, two, { tags: ['v1.0'] }), TagProtectedError);
      await set(store, 'acme');
      await putManifest(store, app, two, { tags: ['v1.0'] });
      await set(store, 'acme', rule({}));
      await assert.rejects(putManifest(store, app, one, { tags: ['v1.0'] }), TagProtectedError);
    });

    test('users, robots, members of a team and administrators are exempted by name and no others', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { users, organizations, robots } = store.accounts;
      const origin = by('test');
      for (const user of ['ana', 'ben', 'cleo'])
        await users.add({ name: user, role: 'user', guest: false, origin });
      await users.add({ name: 'boss', role: 'administrator', guest: false, origin });
      await users.add({ name: 'import', role: 'administrator', guest: false, origin });
      await organizations.add({ name: 'acme', owner: 'ana', origin });
      await organizations.addTeam({ organization: 'acme', team: 'dev', origin });
      await organizations.setMember({ organization: 'acme', user: 'ben', role: 'member', origin });
      await organizations.addTeamMember({ organization: 'acme', team: 'dev', user: 'ben', origin });
      await robots.add({ namespace: 'acme', name: 'release', description: '', origin });
      await start(
        store,
        rule({ exempt: ['administrators', 'ana', 'acme+release', 'team:acme/dev', 'import'] }),
      );
      let turn = 0;
      const move = (actor: string) =>
        putManifest(store, app, manifestOf({ note: `${turn++}` }), { tags: ['v1.0'], origin: by(actor) });
      for (const actor of ['ana', 'ben', 'acme+release', 'boss', 'local:0(root)']) await move(actor);
      for (const actor of ['cleo', 'acme+other', 'dev', 'import', 'retention', 'anonymous', 'local'])
        await assert.rejects(move(actor), TagProtectedError, actor);
      await organizations.removeTeamMember({ organization: 'acme', team: 'dev', user: 'ben', origin });
      await assert.rejects(move('ben'), TagProtectedError);
      await users.disable({ name: 'boss', origin });
      await assert.rejects(move('boss'), TagProtectedError);
      assert.deepEqual([...((await store.protection.list('acme'))?.[0]?.exempt ?? [])].sort(), [
        'acme+release',
        'administrators',
        'ana',
        'import',
        'team:acme/dev',
      ]);
      await robots.remove({ name: 'acme+release', origin });
      await robots.add({ namespace: 'acme', name: 'release', description: '', origin });
      await assert.rejects(move('acme+release'), TagProtectedError);
    });

    test('every rule that holds has to let somebody', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await store.accounts.users.add({ name: 'ana', role: 'user', guest: false, origin: alice });
      await start(store, rule({ exempt: ['ana'] }), rule({ tags: '*.0', rule: 'create-only' }));
      await assert.rejects(
        putManifest(store, app, two, { tags: ['v1.0'], origin: by('ana') }),
        (error: unknown) => error instanceof TagProtectedError && error.protection.held.tags === '*.0',
      );
      assert.equal(await store.tags.remove(app, tag('v1.0'), by('ana')), true);
    });

    test('a whole set is put or nothing, and told with what was before', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await start(store, rule({}));
      const put = (namespace: string, exempt: readonly string[]) =>
        store.protection.set({ namespace, rules: [rule({ exempt })], origin: alice });
      const judge = (namespace: string, exempt: readonly string[]) =>
        store.protection.judge({ namespace, rules: [rule({ tags: 'other', exempt })] });
      assert.deepEqual(await judge('acme', ['nobody']), { outcome: 'unknown-subject', subject: 'nobody' });
      assert.deepEqual(await judge('nope', []), { outcome: 'unknown-namespace' });
      assert.deepEqual(await judge('acme', ['administrators']), { outcome: 'set' });
      assert.deepEqual(await put('acme', ['nobody']), { outcome: 'unknown-subject', subject: 'nobody' });
      assert.deepEqual(await put('nope', []), { outcome: 'unknown-namespace' });
      assert.equal(await store.protection.list('nope'), undefined);
      assert.deepEqual(await store.protection.list('acme'), [rule({})]);
      await set(store, 'acme', rule({ tags: 'a' }), rule({ tags: 'b', rule: 'no-delete' }));
      assert.deepEqual(await store.protection.list('acme'), [
        rule({ tags: 'a' }),
        rule({ tags: 'b', rule: 'no-delete' }),
      ]);
      const { items } = await store.events.audit({ filter: { action: 'rule.set' }, limit: 9 });
      assert.equal(items.length, 2);
      assert.equal(items[0]?.object, 'protection:acme');
      assert.equal(items[0]?.namespace, 'acme');
      assert.deepEqual(items[0]?.detail?.before, { rules: [rule({})] });
    });

    test('lists are told which rule holds, the strictest first, and tags that match none', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await start(store, rule({ rule: 'no-delete' }), rule({ tags: 'v1*' }));
      const heldBy = await store.protection.rulesOf(app);
      assert.equal(heldBy(tag('v1.0'))?.rule, 'immutable');
      assert.equal(heldBy(tag('v2.0'))?.rule, 'no-delete');
      assert.equal(heldBy(tag('dev')), undefined);
      assert.equal((await store.protection.rulesOf(other))(tag('v1.0')), undefined);
    });

    test('a repository with a protected tag, and its namespace, are not deleted', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const { organizations, users } = store.accounts;
      await users.add({ name: 'ana', role: 'user', guest: false, origin: alice });
      await organizations.add({ name: 'acme', owner: 'ana', origin: alice });
      await start(store, rule({ exempt: ['ana'] }), rule({ tags: 'dev', rule: 'create-only' }));
      const found = await store.protection.findProtected(app, alice);
      assert.deepEqual([found?.act, found?.tag, found?.held.tags], ['delete repository', 'v1.0', 'v*']);
      assert.equal(await store.protection.findProtected(app, by('ana')), undefined);
      assert.equal(await store.protection.findProtected(other, alice), undefined);
      await assert.rejects(
        organizations.remove({ name: 'acme', origin: alice }),
        refuses('delete repository', 'v1.0'),
      );
      assert.equal((await store.repositories.find(app))?.live, true);
      assert.equal((await organizations.remove({ name: 'acme', origin: by('ana') })).outcome, 'removed');
    });

    test('a repository with a protected tag moves only to where that is protected, too', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await start(store, rule({}), rule({ tags: 'v1*', rule: 'no-delete', exempt: [] }));
      const move = (to: string, origin = alice) =>
        store.repositories.move({ from: app, to: repository(to), origin });
      await assert.rejects(move('other/web'), refuses('move repository', 'v1.0'));
      const found = await store.protection.findProtectedMove(app, repository('other/web'), alice);
      assert.deepEqual([found?.act, found?.tag, found?.held.rule], ['move repository', 'v1.0', 'immutable']);
      assert.equal((await store.manifests.stat(app, { tag: tag('v1.0') }))?.digest, one.digest);
      assert.deepEqual(await move('acme/web'), { outcome: 'moved' });
      assert.deepEqual(
        await store.repositories.move({ from: repository('acme/web'), to: app, origin: alice }),
        { outcome: 'moved' },
      );
      await set(store, 'other', rule({ tags: '*', rule: 'create-only' }));
      await assert.rejects(move('other/web'), refuses('move repository', 'v1.0'));
      await set(store, 'other', rule({ tags: '*', rule: 'create-only' }), rule({ rule: 'no-delete' }));
      assert.deepEqual(await move('other/web'), { outcome: 'moved' });
    });

    test('who is exempted moves a repository away from a rule, and a rule on exactly it goes along', async (t) => {
      const store = await open(t, { clock: manualClock() });
      await store.accounts.users.add({ name: 'lea', role: 'user', guest: false, origin: alice });
      await start(store, rule({ exempt: ['lea'] }));
      const there = repository('other/web');
      const move = (from: typeof app, to: typeof app, origin: Origin) =>
        store.repositories.move({ from, to, origin });
      assert.deepEqual(await move(app, there, by('lea')), { outcome: 'moved' });
      await set(store, 'acme', rule({ repositories: 'acme/team/app' }));
      assert.deepEqual(await move(deep, repository('other/deep'), alice), { outcome: 'moved' });
      await assert.rejects(
        store.tags.remove(repository('other/deep'), tag('v1.0'), alice),
        refuses('delete', 'v1.0', 'other'),
      );
    });

    test('a tag among thousands is found that keeps a repository', async (t) => {
      const store = await open(t, { clock: manualClock() });
      const names = Array.from({ length: 2500 }, (_, index) => `t${String(index).padStart(5, '0')}`);
      await putManifest(store, app, one, { tags: [...names, 'x-keep'] });
      await set(store, 'acme', rule({ tags: '*-keep' }));
      assert.equal((await store.protection.findProtected(app, alice))?.tag, 'x-keep');
      await store.tags.remove(app, tag('t00000'), alice);
      await set(store, 'acme', rule({ tags: '*-gone' }));
      assert.equal(await store.protection.findProtected(app, alice), undefined);
    });
  });
}
