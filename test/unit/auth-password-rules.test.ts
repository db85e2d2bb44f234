// Which passwords may be chosen, and how they are hashed. bcrypt is the real one, at a low cost.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import bcrypt from 'bcrypt';
import fc from 'fast-check';
import { HashThread } from '../../src/auth/hash-thread.ts';
import {
  costOf,
  dummyHash,
  PasswordHashes,
  PasswordQueueFullError,
  portableHash,
} from '../../src/auth/password-hashes.ts';
import { InvalidPasswordError, judgePassword } from '../../src/auth/password-rules.ts';
import { anyCharacter } from '../support/characters.ts';
import { cpuMilliseconds } from '../support/cpu-time.ts';

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
      fc.asyncProperty(fc.string({ unit: anyCharacter, maxLength: 100 }), async (text) => {
        try {
          await judge(text);
        } catch (error) {
          assert.ok(error instanceof InvalidPasswordError);
          if (text.length > 5) assert.ok(!error.message.includes(text));
        }
      }),
    );
    const begun = cpuMilliseconds();
    await refuses('a1'.repeat(500_000));
    await refuses('é'.repeat(100_000));
    assert.ok(cpuMilliseconds() - begun < 1000);
  });
});

describe('hashes', () => {
  test('a dummy looks like a hash of its cost, and is nobody’s', async () => {
    const dummy = dummyHash(4);
    assert.equal(costOf(dummy), 4);
    assert.equal(dummy.length, (await bcrypt.hash('x', 4)).length);
    assert.equal(await bcrypt.compare('x', dummy), false);
    assert.notEqual(dummyHash(4), dummyHash(4));
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

  test('a wrong password takes the work of the configured cost, whatever the hash costs', async () => {
    let work = 0;
    const hashes = new PasswordHashes(9, async (job) => {
      if (job.kind === 'hash') return bcrypt.hash(job.password, job.cost);
      work += 2 ** (costOf(job.hash) ?? Number.NaN);
      return bcrypt.compare(job.password, job.hash);
    });
    for (const hash of [await bcrypt.hash('x', 4), await bcrypt.hash('x', 9), 'none']) {
      work = 0;
      assert.equal(await hashes.compare('wrong', hash), false);
      assert.equal(work, 2 ** 9, hash);
    }
  });

  test('a thread that fails is replaced', async () => {
    const thread = new HashThread();
    const job = { kind: 'compare', password: 'x', hash: await bcrypt.hash('x', 4) } as const;
    assert.equal(await thread.run(job), true);
    await assert.rejects(thread.run({ kind: 'hash', password: 'x', cost: 'no number' as never }));
    assert.equal(await thread.run(job), true);
  });
});
