// The secrets that Berth makes: their form, and what the checksum tells.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { createSecret, hashSecret, readSecret } from '../../src/auth/secrets.ts';
import { credentialKinds } from '../../src/storage/account-store.ts';
import { anyCharacter } from '../support/characters.ts';

const forms = {
  personal: /^berth_pat_[0-9A-Za-z]{49}$/,
  robot: /^berth_robot_[0-9A-Za-z]{49}$/,
  refresh: /^berth_refresh_[0-9A-Za-z]{49}$/,
  session: /^berth_session_[0-9A-Za-z]{49}$/,
  setPassword: /^berth_code_[0-9A-Za-z]{49}$/,
};

test('each kind has its prefix, is different every time and is read back as what it is', () => {
  for (const kind of credentialKinds) {
    const made = new Set<string>();
    for (let times = 0; times < 200; times++) {
      const { secret, hash } = createSecret(kind);
      assert.match(secret, forms[kind]);
      assert.deepEqual(readSecret(secret), { form: 'secret', kind });
      assert.deepEqual(hash, createHash('sha256').update(secret).digest());
      assert.deepEqual(hash, hashSecret(secret));
      made.add(secret);
    }
    assert.equal(made.size, 200);
  }
});

test('every one of the 62 characters comes equally often', () => {
  const counts = new Map<string, number>();
  const rounds = 2000;
  for (let times = 0; times < rounds; times++) {
    for (const character of createSecret('personal').secret.slice(10, 53))
      counts.set(character, (counts.get(character) ?? 0) + 1);
  }
  const expected = (rounds * 43) / 62;
  assert.equal(counts.size, 62);
  for (const count of counts.values()) assert.ok(Math.abs(count - expected) < expected * 0.2, `${count}`);
});

test('one changed, missing or added character is told from a wrong secret', () => {
  const { secret } = createSecret('robot');
  fc.assert(
    fc.property(fc.nat(secret.length - 1), fc.constantFrom(...'aZ09-é'), (at, other) => {
      const changed = secret.slice(0, at) + other + secret.slice(at + 1);
      fc.pre(changed !== secret);
      assert.notEqual(readSecret(changed).form, 'secret');
    }),
  );
  for (const text of [secret.slice(0, -1), `${secret}a`, `${secret}\n`, secret.replace('_robot_', '_pat_')])
    assert.equal(readSecret(text).form, 'damaged', text);
});

test('other texts are other texts', () => {
  for (const text of ['', 'berth_', 'berth_x_', 'Berth_pat_', 'hunter2', 'eyJhbGciOi', 'berth-pat-'])
    assert.equal(readSecret(text).form, 'other');
  fc.assert(
    fc.property(fc.string({ unit: anyCharacter }), (text) => assert.equal(readSecret(text).form, 'other')),
  );
});
