// Sign-ins and uses of credentials: gathered in memory, written as aggregates, lost by no failing store.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { SignIns } from '../../src/auth/sign-ins.ts';
import {
  basic,
  bearer,
  caller,
  invalid,
  makeToken,
  on,
  principal,
  renew,
  secret,
} from '../support/access-bench.ts';
import { FakeAccounts, ManualClock } from '../support/fake-accounts.ts';

beforeEach(renew);

function gathered() {
  return on.accounts.signIns.map(({ account, address, outcome, count }) => [
    account,
    address,
    outcome,
    count,
  ]);
}

describe('sign-ins', () => {
  test('of one account, address, outcome and minute are one', async () => {
    for (let times = 0; times < 3; times++) await principal(basic('sam', secret));
    for (let times = 0; times < 4; times++) await invalid(basic('sam', 'wrong'));
    await invalid(basic('nobody', 'wrong'));
    await principal({ ...basic('sam', secret), clientAddress: '198.51.100.7' });
    await on.signIns.flush();
    assert.deepEqual(gathered(), [
      ['sam', '192.0.2.1', 'allowed', 3],
      ['sam', '192.0.2.1', 'refused', 4],
      ['nobody', '192.0.2.1', 'refused', 1],
      ['sam', '198.51.100.7', 'allowed', 1],
    ]);
    assert.equal(on.accounts.signIns[0]?.userAgent, 'test/1');
    assert.equal((on.accounts.signIns[0]?.at ?? 1) % 60, 0);
  });

  test('a minute is written twice at most, however often it is flushed', async () => {
    on.clock.unix = 1_800_000_000;
    for (let seconds = 0; seconds < 60; seconds += 10) {
      await invalid(basic('sam', 'wrong'));
      await on.signIns.flush();
      on.clock.advance(10);
    }
    await on.signIns.flush();
    assert.deepEqual(gathered(), [
      ['sam', '192.0.2.1', 'refused', 1],
      ['sam', '192.0.2.1', 'refused', 5],
    ]);
  });

  test('at the end the minute that goes on is written too', async () => {
    await invalid(basic('sam', 'wrong'));
    await on.signIns.flush();
    await invalid(basic('sam', 'wrong'));
    await on.signIns.flush();
    assert.equal(on.accounts.signIns.length, 1);
    await on.signIns.flush({ whole: true });
    assert.equal(on.accounts.signIns.length, 2);
  });

  test('what is no name is not written down: it may be a password', async () => {
    for (const name of ['My Secret Pass!', 'alice@example.com', '', 'x'.repeat(1000), 'a+b+c'])
      await invalid(basic(name, 'x'));
    await invalid(basic('acme+ci', 'x'));
    await on.signIns.flush();
    assert.deepEqual(gathered(), [
      ['(not a name)', '192.0.2.1', 'refused', 5],
      ['acme+ci', '192.0.2.1', 'refused', 1],
    ]);
  });

  test('a store that fails loses none', async () => {
    await invalid(basic('sam', 'wrong'));
    on.accounts.failing = new Error('disk');
    await assert.rejects(on.signIns.flush(), /disk/);
    on.accounts.failing = undefined;
    await invalid(basic('sam', 'wrong'));
    await on.signIns.flush();
    assert.deepEqual(gathered(), [['sam', '192.0.2.1', 'refused', 2]]);
  });

  test('a flood of names and addresses is bounded, and counted all the same', async () => {
    const clock = new ManualClock();
    const accounts = new FakeAccounts(clock);
    const signIns = new SignIns(accounts.events, clock);
    for (let index = 0; index < 20_000; index++)
      signIns.count(
        `user${index}`,
        { address: `192.0.${index >> 8}.${index & 255}`, userAgent: 'x'.repeat(10_000) },
        'refused',
      );
    await signIns.flush();
    assert.ok(accounts.signIns.length <= 5001);
    assert.equal(
      accounts.signIns.reduce((sum, { count }) => sum + count, 0),
      20_000,
    );
    assert.ok(accounts.signIns.every(({ userAgent }) => (userAgent?.length ?? 0) <= 200));
  });
});

describe('a flood of sign-ins', () => {
  const count = (signIns: SignIns, account: string, address: string) =>
    signIns.count(account, { address, userAgent: undefined }, 'refused');

  test('from one network makes few rows, however many names and addresses it has, and hides nobody else', async () => {
    const clock = new ManualClock();
    const accounts = new FakeAccounts(clock);
    const signIns = new SignIns(accounts.events, clock);
    for (let round = 0; round < 3; round++) {
      for (let index = 0; index < 1000; index++) {
        count(signIns, `user${round}x${index}`, `2001:db8:0:1::${index.toString(16)}`);
      }
      await signIns.flush();
    }
    count(signIns, 'sam', '192.0.2.1');
    await signIns.flush({ whole: true });
    const { signIns: rows } = accounts;
    assert.ok(rows.length < 110, `${rows.length} rows`);
    assert.equal(
      rows.reduce((sum, row) => sum + row.count, 0),
      3001,
    );
    assert.ok(rows.some(({ account }) => account === 'sam'));
    assert.ok(rows.some(({ account, address }) => account === '(others)' && address === '2001:db8:0:1::/64'));
  });

  test('is bounded by the minute, not by how often it is written', async () => {
    const clock = new ManualClock();
    const accounts = new FakeAccounts(clock);
    const signIns = new SignIns(accounts.events, clock);
    for (let index = 0; index < 12_000; index++) {
      count(signIns, 'sam', `192.${index >> 8}.${index & 255}.1`);
      if (index % 4000 === 3999) await signIns.flush();
    }
    await signIns.flush({ whole: true });
    assert.ok(accounts.signIns.length <= 5010, `${accounts.signIns.length} rows`);
  });
});

describe('uses of credentials', () => {
  test('are written with the time and the address of the last one', async () => {
    const { secret: token, id } = await makeToken('acme+ci', 'robot');
    await principal(bearer(token));
    on.clock.advance(5);
    await principal({ ...basic('acme+ci', token), clientAddress: '198.51.100.7' });
    await on.credentials.flush();
    const used = on.accounts.held.get(id)?.credential;
    assert.deepEqual([used?.lastUsedAt, used?.lastUsedFrom], [on.clock.unix, '198.51.100.7']);
  });

  test('of a refresh token are uses of the token it came from', async () => {
    const { secret: token, id } = await makeToken('sam', 'personal');
    const refresh = await on.credentials.issueRefreshToken(await principal(bearer(token)), {
      label: '',
      origin: { actor: 'sam' },
    });
    on.clock.advance(100);
    await on.credentials.presentRefresh(refresh?.secret ?? '', caller);
    await on.credentials.flush();
    assert.equal(on.accounts.held.get(id)?.credential.lastUsedAt, on.clock.unix);
    assert.equal(on.accounts.held.get(refresh?.credential.id ?? 0)?.credential.lastUsedAt, on.clock.unix);
  });

  test('a store that fails loses none, and a later use is not overwritten by an earlier one', async () => {
    const { secret: token, id } = await makeToken('acme+ci', 'robot');
    await principal(bearer(token));
    on.accounts.failing = new Error('disk');
    await assert.rejects(on.credentials.flush(), /disk/);
    on.accounts.failing = undefined;
    await on.credentials.flush();
    assert.equal(on.accounts.held.get(id)?.credential.lastUsedAt, on.clock.unix);
    const reads = on.accounts.reads.length;
    await on.credentials.flush();
    assert.equal(on.accounts.reads.length, reads);
  });

  test('a credential that was refused was not used', async () => {
    const { secret: token, id } = await makeToken('acme+ci', 'robot');
    await invalid(basic('sam', token));
    await on.credentials.flush();
    assert.equal(on.accounts.held.get(id)?.credential.lastUsedAt, undefined);
  });
});
