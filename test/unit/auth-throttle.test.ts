// How guessing is slowed down: by account and network, and by network.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addressFilter, networkOf } from '../../src/auth/network.ts';
import { Throttle, type ThrottleLimits } from '../../src/auth/throttle.ts';
import { ManualClock } from '../support/fake-accounts.ts';

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

  test('what is refused by address makes no counts, and pushes none out', () => {
    const clock = new ManualClock();
    const throttle = new Throttle({ ...limits, failuresPerAccount: 3, failuresPerAddress: 4 }, clock);
    assert.equal(failOnce(throttle, 'bob', '192.0.2.1'), 0);
    clock.advance(500);
    for (let times = 0; times < 3; times++) assert.equal(failOnce(throttle, 'alice', '192.0.2.1'), 0);
    for (let index = 0; index < 11_000; index++)
      assert.ok(failOnce(throttle, `user${index}`, '192.0.2.1') > 0);
    clock.advance(401);
    assert.ok(failOnce(throttle, 'alice', '192.0.2.1') > 0);
    assert.equal(failOnce(throttle, 'bob', '192.0.2.1'), 0);
  });
});
