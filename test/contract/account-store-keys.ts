// Contract: signing keys.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { effectOf, lastEvent, root } from '../support/accounts.ts';
import { manualClock } from '../support/metadata.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

export function describeKeyStore(name: string, open: OpenMetadataStore): void {
  describe(`${name}: signing keys`, () => {
    test('a rotation makes one key sign, retires the others and drops those retired long ago', async (t) => {
      const clock = manualClock(1_900_000_000);
      const store = await open(t, { clock });
      const { keys } = store.accounts;
      const rotate = (kid: string, dropRetiredBefore = 0) =>
        keys.rotate({ kid, jwk: `{"d":"private ${kid}"}`, dropRetiredBefore, origin: root });
      const key = (kid: string, createdAt: number, retiredAt: number | undefined) => ({
        kid,
        jwk: `{"d":"private ${kid}"}`,
        createdAt: 1_900_000_000 + createdAt,
        retiredAt: retiredAt === undefined ? undefined : 1_900_000_000 + retiredAt,
      });
      assert.deepEqual(await keys.list(), []);
      assert.deepEqual(await effectOf(store, () => rotate('z')), { told: ['key.rotate key:z'], moved: true });
      assert.deepEqual(await keys.list(), [key('z', 0, undefined)]);
      clock.advance(10);
      await rotate('a');
      assert.deepEqual(await keys.list(), [key('a', 10, undefined), key('z', 0, 10)]);
      await rotate('m');
      assert.deepEqual(await keys.list(), [key('m', 10, undefined), key('a', 10, 10), key('z', 0, 10)]);
      clock.advance(10);
      await rotate('b', 1_900_000_010.5);
      assert.deepEqual(await keys.list(), [
        key('b', 20, undefined),
        key('m', 10, 20),
        key('a', 10, 10),
        key('z', 0, 10),
      ]);
      await rotate('c', 1_900_000_011);
      assert.deepEqual(
        (await keys.list()).map(({ kid }) => kid),
        ['c', 'b', 'm'],
      );
      assert.deepEqual((await lastEvent(store))?.detail, { after: { retired: 1, dropped: 2 } });
      const { items } = await store.events.read({ after: 0, limit: 100 });
      assert.ok(!JSON.stringify(items).includes('private'));
    });
  });
}
