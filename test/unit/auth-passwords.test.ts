// Passwords: which may be chosen, how they are checked, and how guessing is slowed down. bcrypt is the real one, at a low cost.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import bcrypt from 'bcrypt';
import fc from 'fast-check';
import { addressFilter, networkOf } from '../../src/auth/network.ts';
import {
  costOf,
  dummyHash,
  PasswordHashes,
  PasswordQueueFullError,
  portableHash,
} from '../../src/auth/password-hashes.ts';
import { InvalidPasswordError, judgePassword } from '../../src/auth/password-rules.ts';
import { type PasswordSettings, Passwords } from '../../src/auth/passwords.ts';
import { Throttle, type ThrottleLimits } from '../../src/auth/throttle.ts';
import { FakeAccounts, ManualClock } from '../support/fake-accounts.ts';

const rules = { minimumLength: 12, refuseCommon: true };
const judge = (password: string, account = 'alice') => judgePassword(password, account, rules);

async function refuses(password: string, account?: string): Promise<void> {
  await assert.rejects(judge(password, account), InvalidPasswordError, password);
}

describe('the rules for passwords', () => {
  test('twelve characters at least, 72 bytes at most, whatever the characters are', async () => {
    await refuses('aZ3$xQ9!mK7');
    await judge('aZ3$xQ9!mK7w');
    await judge('ключ от сада');
    await refuses('🦊🦉🐢🦎🐙🦑');
    await judge('🦊🦉🐢🦎🐙🦑🦐🐡🐠🐬🐳🦈');
    const mixed = 'kZ8-vQ2+jH6=bN4?';
    await judge(`${mixed.repeat(4).slice(0, 60)}aB1cD2eF3gH4`);
    await refuses(`${mixed.repeat(4)}aB1cD2eF3`);
    await refuses(`${'é'.normalize('NFC') + mixed.repeat(4)}aB1cD2eF`);
  });

  test('composed and decomposed letters are the same, counted and hashed as the same', async () => {
    const composed = 'Übermütig-Wäsche'.normalize('NFC');
    await judge(composed.normalize('NFD'));
    await refuses('äöüÄÖÜ-ß1x'.normalize('NFD'));
  });

  test('common ones, and what is put together from common parts, are refused', async () => {
    const common = [
      'password1234',
      'Password1234!',
      'P@ssw0rd2024!',
      'passwordpassword',
      'administrator',
      'admin123456789',
      'Welcome2026!!!',
      'qwertyuiop123',
      '1qaz2wsx3edc',
      'q1w2e3r4t5y6',
      '123456789012',
      '987654321098',
      'abcdefghijkl',
      'zyxwvutsrqpo',
      'iloveyou1234',
      'letmein12345',
      'changeme1234',
      'changemeplease'.slice(0, 12),
      'docker-registry',
      'Podman123456',
      'summer2025!!',
      'Unbelievable',
      'CorrectHorseBatteryStaple',
      'aaaaaaaaaaaa',
      'abababababab',
      'abcabcabcabc',
      'qwe123qwe123',
      'x7!x7!x7!x7!',
      '            ',
    ];
    for (const password of common) await refuses(password);
  });

  test('the name of the account adds nothing to a password', async () => {
    await refuses('alice-alice-alice', 'alice');
    await refuses('johnathan1234', 'johnathan');
    await refuses('2024-johnathan!', 'johnathan');
    await refuses('margarethe-1999-x', 'margarethe');
    await judge('johnathan-kw7-tulpe', 'johnathan');
  });

  test('random passwords and unrelated words are taken', async () => {
    const words = fc.constantFrom(
      'teapot',
      'gravel',
      'ostrich',
      'violin',
      'marmot',
      'trellis',
      'plinth',
      'walnut',
    );
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(words, { minLength: 4, maxLength: 5 }), (some) =>
        judge(some.join(' ')),
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 15, maxLength: 15 }), async (bytes) => {
        const text = Buffer.from(bytes).toString('base64');
        fc.pre(new Set(text).size > 12);
        await judge(text);
      }),
    );
  });

  test('what cannot be typed, and what looks like a token, is refused', async () => {
    for (const password of [
      'kZ8-vQ2\0jH6=bN4?',
      'kZ8-vQ2\njH6=bN4?',
      'kZ8-vQ2\uD800jH6=bN4?',
      'kZ8-vQ2\uFFFDjH6=bN4?',
      'berth_pat_kZ8vQ2jH6bN4',
    ])
      await refuses(password);
  });

  test('common ones are taken where the configuration says so', async () => {
    await judgePassword('password1234', 'alice', { minimumLength: 8, refuseCommon: false });
    await assert.rejects(
      judgePassword('pass', 'alice', { minimumLength: 8, refuseCommon: false }),
      InvalidPasswordError,
    );
  });

  test('no text takes long or fails in another way, and no sentence repeats the password', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 100 }), async (text) => {
        try {
          await judge(text);
        } catch (error) {
          assert.ok(error instanceof InvalidPasswordError);
          if (text.length > 5) assert.ok(!error.message.includes(text));
        }
      }),
    );
    const begun = performance.now();
    await refuses('a1'.repeat(500_000));
    await refuses('é'.repeat(100_000));
    assert.ok(performance.now() - begun < 1000);
  });
});

describe('hashes', () => {
  test('a dummy looks like a hash, takes the time of one, and is nobody’s', async () => {
    const dummy = dummyHash(4);
    assert.equal(costOf(dummy), 4);
    assert.equal(dummy.length, (await bcrypt.hash('x', 4)).length);
    assert.equal(await bcrypt.compare('x', dummy), false);
    assert.notEqual(dummyHash(4), dummyHash(4));
    const time = async (hash: string) => {
      const begun = performance.now();
      await bcrypt.compare('x', hash);
      return performance.now() - begun;
    };
    const real = await bcrypt.hash('y', 10);
    const ratio = (await time(dummyHash(10))) / (await time(real));
    assert.ok(ratio > 0.4 && ratio < 2.5, `${ratio}`);
  });

  test('only bcrypt of a bearable cost is a hash', () => {
    for (const hash of [
      '',
      'x',
      `$2b$31$${'a'.repeat(53)}`,
      `$2b$17$${'a'.repeat(53)}`,
      `$2b$03$${'a'.repeat(53)}`,
      `$2x$10$${'a'.repeat(53)}`,
      `$2b$10$${'a'.repeat(52)}`,
    ])
      assert.equal(costOf(hash), undefined, hash);
    assert.equal(portableHash(`$2y$05$${'a'.repeat(53)}`), `$2b$05$${'a'.repeat(53)}`);
  });

  test('a hash that htpasswd made is checked', async () => {
    // htpasswd -nbB x 'correct horse', cost 5.
    const made = (await bcrypt.hash('correct horse', 5)).replace('$2b$', '$2y$');
    const hashes = new PasswordHashes(5);
    assert.equal(await hashes.compare('correct horse', portableHash(made)), true);
    assert.equal(await hashes.compare('wrong horse', portableHash(made)), false);
  });

  test('two run at a time, 64 wait, and more are turned away', async () => {
    const hashes = new PasswordHashes(4);
    const all = await Promise.allSettled(Array.from({ length: 100 }, () => hashes.hash('x')));
    const refused = all.filter((one) => one.status === 'rejected');
    assert.equal(refused.length, 100 - 66);
    assert.ok(
      refused.every((one) => one.status === 'rejected' && one.reason instanceof PasswordQueueFullError),
    );
    assert.equal(
      (await Promise.allSettled(Array.from({ length: 66 }, () => hashes.hash('x')))).filter(
        (one) => one.status === 'rejected',
      ).length,
      0,
    );
  });

  test('a wrong password takes the configured time, whatever the hash costs', async () => {
    const time = async (hash: string) => {
      const hashes = new PasswordHashes(9);
      const times: number[] = [];
      for (let round = 0; round < 5; round++) {
        const begun = performance.now();
        await hashes.compare('wrong', hash);
        times.push(performance.now() - begun);
      }
      return times.sort((one, other) => one - other)[2] ?? 0;
    };
    const [cheap, configured, none] = [
      await time(await bcrypt.hash('x', 4)),
      await time(await bcrypt.hash('x', 9)),
      await time('none'),
    ];
    for (const some of [cheap, none])
      assert.ok(some / configured > 0.5 && some / configured < 2, `${some} against ${configured}`);
  });
});

describe('networks', () => {
  test('IPv6 counts by /64, IPv4 by address, however they are written', () => {
    assert.equal(networkOf('192.0.2.1'), '192.0.2.1');
    assert.equal(networkOf('::ffff:192.0.2.1'), '192.0.2.1');
    assert.equal(networkOf('::ffff:c000:201'), '192.0.2.1');
    assert.equal(networkOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64');
    assert.equal(networkOf('2001:0DB8:1:2::1'), '2001:db8:1:2::/64');
    assert.equal(networkOf('2001:db8::1%eth0'), '2001:db8:0:0::/64');
    assert.equal(networkOf('::1'), '0:0:0:0::/64');
    assert.equal(networkOf(''), '');
    assert.equal(networkOf('x'.repeat(1000)).length, 64);
  });

  test('exempt are loopback, addresses and blocks', () => {
    const exempt = addressFilter(['loopback', '10.0.0.0/8', '2001:db8::/32', '192.0.2.7']);
    for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1', '10.1.2.3', '2001:db8::5', '192.0.2.7'])
      assert.equal(exempt(address), true, address);
    for (const address of ['11.0.0.1', '192.0.2.8', '2001:db9::1', '', 'localhost', '::ffff:11.0.0.1'])
      assert.equal(exempt(address), false, address);
    assert.equal(addressFilter([])('127.0.0.1'), false);
  });
});

const limits: ThrottleLimits = {
  failuresPerAccount: 10,
  failuresPerAddress: 100,
  window: 900,
  exemptAddresses: ['loopback'],
};

function failOnce(throttle: Throttle, account: string, address: string): number {
  const admission = throttle.admit(account, address);
  if ('retryAfterSeconds' in admission) return admission.retryAfterSeconds;
  admission.attempt.fail();
  return 0;
}

describe('the throttle', () => {
  test('ten wrong ones of an account from a network, then none until one has left the window', () => {
    const clock = new ManualClock();
    const throttle = new Throttle(limits, clock);
    for (let times = 0; times < 10; times++) {
      assert.equal(failOnce(throttle, 'alice', `2001:db8:0:1::${times}`), 0);
      clock.advance(1);
    }
    assert.equal(failOnce(throttle, 'alice', '2001:db8:0:1::ffff'), 890);
    assert.equal(failOnce(throttle, 'bob', '2001:db8:0:1::1'), 0);
    assert.equal(failOnce(throttle, 'alice', '2001:db8:0:2::1'), 0);
    clock.advance(890);
    assert.equal(failOnce(throttle, 'alice', '2001:db8:0:1::1'), 0);
    assert.ok(failOnce(throttle, 'alice', '2001:db8:0:1::1') > 0);
  });

  test('a hundred of a network over all accounts, unless it is exempt', () => {
    const throttle = new Throttle(limits, new ManualClock());
    for (let times = 0; times < 100; times++)
      assert.equal(failOnce(throttle, `user${times}`, '192.0.2.1'), 0);
    assert.ok(failOnce(throttle, 'another', '192.0.2.1') > 0);
    assert.equal(failOnce(throttle, 'another', '192.0.2.2'), 0);
    for (let times = 0; times < 300; times++)
      assert.equal(failOnce(throttle, `user${times}`, '127.0.0.1'), 0);
    // The account is counted there all the same.
    for (let times = 0; times < 10; times++) failOnce(throttle, 'alice', '127.0.0.1');
    assert.ok(failOnce(throttle, 'alice', '127.0.0.1') > 0);
  });

  test('checks under way count, so that many at once do not slip by', () => {
    const throttle = new Throttle(limits, new ManualClock());
    const admitted = Array.from({ length: 50 }, () => throttle.admit('alice', '192.0.2.1'));
    const attempts = admitted.flatMap((one) => ('attempt' in one ? [one.attempt] : []));
    assert.equal(attempts.length, 10);
    for (const attempt of attempts) attempt.cancel();
    assert.ok('attempt' in throttle.admit('alice', '192.0.2.1'));
  });

  test('a right one forgets the failures of the account from there', () => {
    const throttle = new Throttle(limits, new ManualClock());
    for (let times = 0; times < 9; times++) failOnce(throttle, 'alice', '192.0.2.1');
    const admission = throttle.admit('alice', '192.0.2.1');
    assert.ok('attempt' in admission);
    assert.ok(admission.attempt.delaySeconds > 0);
    admission.attempt.succeed();
    for (let times = 0; times < 10; times++) assert.equal(failOnce(throttle, 'alice', '192.0.2.1'), 0);
  });

  test('from half of the limit on each attempt waits longer, and never long', () => {
    const throttle = new Throttle(limits, new ManualClock());
    const delays: number[] = [];
    for (let times = 0; times < 10; times++) {
      const admission = throttle.admit('alice', '192.0.2.1');
      if (!('attempt' in admission)) continue;
      delays.push(admission.attempt.delaySeconds);
      admission.attempt.fail();
    }
    assert.deepEqual(delays, [0, 0, 0, 0, 0, 0.5, 1, 2, 4, 4]);
  });

  test('unlimited is unlimited', () => {
    const throttle = new Throttle(
      {
        ...limits,
        failuresPerAccount: Number.POSITIVE_INFINITY,
        failuresPerAddress: Number.POSITIVE_INFINITY,
      },
      new ManualClock(),
    );
    for (let times = 0; times < 1000; times++) assert.equal(failOnce(throttle, 'alice', '192.0.2.1'), 0);
  });
});

interface Bench {
  readonly clock: ManualClock;
  readonly accounts: FakeAccounts;
  readonly passwords: Passwords;
  readonly slept: number[];
  readonly failures: unknown[];
}

const settings: PasswordSettings = { ...rules, bcryptCost: 5 };
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
