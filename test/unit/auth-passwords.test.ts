// Checks of passwords: what is right, what wrong costs, and what is remembered. bcrypt is the real one, at a low cost.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import bcrypt from 'bcrypt';
import { costOf } from '../../src/auth/password-hashes.ts';
import { type PasswordSettings, Passwords } from '../../src/auth/passwords.ts';
import type { ThrottleLimits } from '../../src/auth/throttle.ts';
import { FakeAccounts, ManualClock } from '../support/fake-accounts.ts';

const limits: ThrottleLimits = {
  failuresPerAccount: 10,
  failuresPerAddress: 100,
  window: 900,
  exemptAddresses: ['loopback'],
};

interface Bench {
  readonly clock: ManualClock;
  readonly accounts: FakeAccounts;
  readonly passwords: Passwords;
  readonly slept: number[];
  readonly failures: unknown[];
}

const settings: PasswordSettings = { minimumLength: 12, refuseCommon: true, bcryptCost: 5 };
const secret = 'violin teapot marmot';

async function bench(cost = 5, changed: Partial<ThrottleLimits> = {}): Promise<Bench> {
  const clock = new ManualClock();
  const accounts = new FakeAccounts(clock);
  accounts.passwords.set('alice', {
    subjectId: 1,
    hash: await bcrypt.hash(secret, cost),
    generation: 3,
    disabled: false,
  });
  accounts.passwords.set('nopass', { subjectId: 2, hash: undefined, generation: 0, disabled: false });
  const slept: number[] = [];
  const failures: unknown[] = [];
  const passwords = new Passwords({
    users: accounts.store.users,
    settings,
    throttle: { ...limits, ...changed },
    clock,
    sleep: async (seconds) => {
      slept.push(seconds);
    },
    onFailure: (error) => failures.push(error),
  });
  return { clock, accounts, passwords, slept, failures };
}

describe('checks of passwords', () => {
  test('the right one is right and any other wrong', async () => {
    const { passwords } = await bench();
    const right = await passwords.check('alice', secret, '192.0.2.1');
    assert.equal(right.outcome, 'right');
    assert.equal(right.outcome === 'right' && right.facts.generation, 3);
    const wrong = [
      '',
      `${secret} `,
      secret.toUpperCase(),
      `${secret}\0`,
      `${secret}\0more`,
      'x'.repeat(73),
      `${secret}${'x'.repeat(100)}`,
    ];
    for (const text of wrong)
      assert.deepEqual(await passwords.check('alice', text, '192.0.2.1'), { outcome: 'wrong' }, text);
    for (const account of [
      'bob',
      'nopass',
      '',
      'Alice',
      'alice\0',
      'acme+ci',
      "alice' OR 1=1",
      'x'.repeat(10_000),
    ])
      assert.deepEqual(await passwords.check(account, secret, '192.0.2.1'), { outcome: 'wrong' }, account);
  });

  test('73 equal bytes are not the 72 that bcrypt reads', async () => {
    const { passwords, accounts } = await bench();
    const full = 'aB3dE5gH7j'.repeat(8).slice(0, 72);
    accounts.passwords.set('bob', {
      subjectId: 4,
      hash: await bcrypt.hash(full, 5),
      generation: 0,
      disabled: false,
    });
    assert.equal((await passwords.check('bob', full, '192.0.2.1')).outcome, 'right');
    assert.equal((await passwords.check('bob', `${full}x`, '192.0.2.1')).outcome, 'wrong');
  });

  test('letters are the same composed and decomposed', async () => {
    const { passwords, accounts } = await bench();
    const text = 'schöne Grüße aus Köln';
    accounts.passwords.set('bob', {
      subjectId: 4,
      hash: await passwords.hash(text.normalize('NFD')),
      generation: 0,
      disabled: false,
    });
    assert.equal((await passwords.check('bob', text.normalize('NFC'), '192.0.2.1')).outcome, 'right');
    assert.equal((await passwords.check('bob', text.normalize('NFD'), '192.0.2.1')).outcome, 'right');
  });

  test('a disabled user is answered like a wrong password, also after having signed in', async () => {
    const { passwords, accounts } = await bench();
    assert.equal((await passwords.check('alice', secret, '192.0.2.1')).outcome, 'right');
    const facts = accounts.passwords.get('alice');
    assert.ok(facts);
    facts.disabled = true;
    assert.deepEqual(await passwords.check('alice', secret, '192.0.2.1'), { outcome: 'wrong' });
  });

  test('a changed password holds at once', async () => {
    const { passwords, accounts } = await bench();
    await passwords.check('alice', secret, '192.0.2.1');
    const facts = accounts.passwords.get('alice');
    assert.ok(facts);
    facts.hash = await bcrypt.hash('another one of mine', 5);
    assert.equal((await passwords.check('alice', secret, '192.0.2.1')).outcome, 'wrong');
    assert.equal((await passwords.check('alice', 'another one of mine', '192.0.2.1')).outcome, 'right');
  });

  test('guessing is delayed, then told when to come again; a verified credential never is', async () => {
    const { passwords, slept, clock } = await bench();
    assert.equal((await passwords.check('alice', secret, '192.0.2.1')).outcome, 'right');
    for (let times = 0; times < 10; times++)
      assert.equal((await passwords.check('alice', `guess ${times}`, '192.0.2.1')).outcome, 'wrong');
    assert.deepEqual(slept, [0.5, 1, 2, 4, 4]);
    assert.deepEqual(await passwords.check('alice', 'guess 11', '192.0.2.1'), {
      outcome: 'throttled',
      retryAfterSeconds: 900,
    });
    assert.equal((await passwords.check('alice', secret, '192.0.2.1')).outcome, 'right');
    assert.equal((await passwords.check('alice', 'guess 12', '198.51.100.1')).outcome, 'wrong');
    clock.advance(901);
    assert.equal((await passwords.check('alice', 'guess 13', '192.0.2.1')).outcome, 'wrong');
  });

  test('an unknown user is throttled as a known one is', async () => {
    const { passwords } = await bench();
    const outcomes = async (account: string) => {
      const all: string[] = [];
      for (let times = 0; times < 12; times++)
        all.push((await passwords.check(account, `guess ${times % 11}`, '192.0.2.1')).outcome);
      return all;
    };
    assert.deepEqual(await outcomes('alice'), await outcomes('nobody'));
  });

  test('the same wrong password again counts once and costs nothing', async () => {
    const { passwords } = await bench();
    for (let times = 0; times < 50; times++)
      assert.equal((await passwords.check('alice', 'my old password', '192.0.2.1')).outcome, 'wrong');
    await Promise.all(
      Array.from({ length: 50 }, () => passwords.check('alice', 'my older password', '192.0.2.1')),
    );
    for (let times = 0; times < 8; times++)
      assert.equal((await passwords.check('alice', `guess ${times}`, '192.0.2.1')).outcome, 'wrong');
    assert.equal((await passwords.check('alice', 'guess 9', '192.0.2.1')).outcome, 'throttled');
    assert.equal((await passwords.check('alice', 'my old password', '192.0.2.1')).outcome, 'wrong');
  });

  test('many at once of one right password are one check', async () => {
    const { passwords } = await bench(5, { failuresPerAccount: 1 });
    const all = await Promise.all(
      Array.from({ length: 200 }, () => passwords.check('alice', secret, '192.0.2.1')),
    );
    assert.ok(all.every(({ outcome }) => outcome === 'right'));
  });

  test('many guesses at once get no further than one after the other', async () => {
    const { passwords } = await bench();
    const all = await Promise.all(
      Array.from({ length: 200 }, (_, index) => passwords.check('alice', `guess ${index}`, '192.0.2.1')),
    );
    assert.equal(all.filter(({ outcome }) => outcome === 'wrong').length, 10);
    assert.equal(all.filter(({ outcome }) => outcome === 'throttled').length, 190);
  });

  test('a crowd of different people is served, as far as the queue goes', async () => {
    const { passwords } = await bench();
    const all = await Promise.all(
      Array.from({ length: 100 }, (_, index) => passwords.check(`user${index}`, secret, `192.0.2.${index}`)),
    );
    assert.equal(all.filter(({ outcome }) => outcome === 'wrong').length, 66);
    const throttled = all.filter((one) => one.outcome === 'throttled');
    assert.ok(throttled.every((one) => one.outcome === 'throttled' && one.retryAfterSeconds === 2));
  });

  test('one network cannot fill the queue', async () => {
    const { passwords } = await bench();
    const crowd = Array.from({ length: 100 }, (_, index) =>
      passwords.check(`user${index}`, secret, '192.0.2.1'),
    );
    const other = passwords.check('alice', secret, '198.51.100.1');
    assert.equal((await other).outcome, 'right');
    assert.equal((await Promise.all(crowd)).filter(({ outcome }) => outcome === 'wrong').length, 32);
  });

  test('a hash of a lower cost is replaced at sign-in, and its password goes on being known', async () => {
    const { passwords, accounts, failures } = await bench(4);
    assert.equal((await passwords.check('alice', 'something else', '192.0.2.1')).outcome, 'wrong');
    assert.equal((await passwords.check('alice', secret, '192.0.2.1')).outcome, 'right');
    for (let times = 0; times < 100 && costOf(accounts.passwords.get('alice')?.hash ?? '') === 4; times++)
      await wait(10);
    assert.equal(costOf(accounts.passwords.get('alice')?.hash ?? ''), 5);
    assert.equal((await passwords.check('alice', secret, '192.0.2.1')).outcome, 'right');
    assert.deepEqual(failures, []);
  });

  test('a store that fails is a fault, not a wrong password, and costs no attempt', async () => {
    const { passwords, accounts } = await bench(5, { failuresPerAccount: 2 });
    accounts.failing = new Error('disk');
    for (let times = 0; times < 5; times++)
      await assert.rejects(passwords.check('alice', `guess ${times}`, '192.0.2.1'), /disk/);
    accounts.failing = undefined;
    assert.equal((await passwords.check('alice', 'guess', '192.0.2.1')).outcome, 'wrong');
    assert.equal((await passwords.check('alice', secret, '192.0.2.1')).outcome, 'right');
  });
});
