// Reading tar archives as they arrive: names and sizes of every extension, and what is broken.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type TarEntry, TarScanner } from '../../src/inspection/tar-scanner.ts';
import { makeTarHeader, readTarHeader, TarFault } from '../../src/oci/tar.ts';
import { type Member, makeTar, sealHeader } from '../support/tars.ts';

function scan(bytes: Buffer, chunk = bytes.length): TarEntry[] {
  const entries: TarEntry[] = [];
  const scanner = new TarScanner((entry) => entries.push(entry));
  for (let from = 0; from < bytes.length; from += chunk) scanner.write(bytes.subarray(from, from + chunk));
  scanner.finish();
  return entries;
}

const contentOf = (bytes: Buffer, { offset, storedSize }: TarEntry) =>
  bytes.toString('utf8', offset, offset + storedSize);
const long = `${'a-long-folder-name/'.repeat(20)}file`;

describe('a tar archive', () => {
  it('is told entry by entry, with the place of each content', () => {
    const bytes = makeTar([
      { name: 'etc/', type: '5', mode: 0o750, uid: 7, gid: 8 },
      { name: 'etc/hosts', content: 'localhost', modifiedAt: 5 },
      { name: 'etc/link', type: '2', link: 'hosts' },
      { name: 'etc/same', type: '1', link: 'etc/hosts', size: 9 },
      { name: 'after', content: 'x'.repeat(513) },
    ]);
    const entries = scan(bytes);
    assert.deepEqual(
      entries.map(({ name, type, size, linkName }) => [name, type, size, linkName]),
      [
        ['etc/', '5', 0, ''],
        ['etc/hosts', '0', 9, ''],
        ['etc/link', '2', 0, 'hosts'],
        ['etc/same', '1', 0, 'etc/hosts'],
        ['after', '0', 513, ''],
      ],
    );
    const [folder, hosts, , , after] = entries;
    assert.deepEqual([folder?.mode, folder?.uid, folder?.gid, hosts?.modifiedAt], [0o750, 7, 8, 5]);
    assert.ok(hosts && after);
    assert.equal(contentOf(bytes, hosts), 'localhost');
    assert.equal(contentOf(bytes, after), 'x'.repeat(513));
  });

  it('may have names and sizes of pax and of GNU', () => {
    const bytes = makeTar([
      {
        name: 'cut',
        pax: { path: long, linkpath: 'ü'.repeat(300), mtime: '12.5', uid: '3000000' },
        type: '2',
      },
      { name: 'cut', gnuName: long, content: 'gnu' },
      { name: 'cut', gnuName: 'one', gnuLink: long, type: '2' },
      { name: 'sized', pax: { size: '3' }, content: 'abc', size: 0 },
      { name: 'own' },
    ]);
    const entries = scan(bytes);
    assert.deepEqual(
      entries.map(({ name, linkName, size }) => [name, linkName, size]),
      [
        [long, 'ü'.repeat(300), 0],
        [long, '', 3],
        ['one', long, 0],
        ['sized', '', 3],
        ['own', '', 0],
      ],
    );
    assert.deepEqual([entries[0]?.modifiedAt, entries[0]?.uid], [12.5, 3_000_000]);
  });

  it('is the same in whatever pieces it comes', () => {
    const bytes = makeTar([
      { name: 'cut', pax: { path: long }, content: 'one' },
      { name: 'cut', gnuName: long, content: 'y'.repeat(2000) },
      { name: 'last', content: 'z' },
    ]);
    const whole = scan(bytes);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1500 }), (size) => assert.deepEqual(scan(bytes, size), whole)),
    );
  });

  it('that GNU tar made, sparse files and long names and all, is read to its end', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'berth-tar-'));
    t.after(() => rmSync(folder, { recursive: true }));
    // More holes than a header has room for.
    execFileSync(
      'sh',
      ['-c', 'for i in $(seq 0 3 60); do printf x | dd of=sparse bs=65536 seek=$i 2>/dev/null; done'],
      {
        cwd: folder,
      },
    );
    truncateSync(join(folder, 'sparse'), 10_000_000);
    writeFileSync(join(folder, 'n'.repeat(200)), 'long');
    symlinkSync('l'.repeat(200), join(folder, 'link'));
    writeFileSync(join(folder, 'z-last'), 'last');
    for (const format of ['gnu', 'oldgnu', 'posix']) {
      const names = ['sparse', 'n'.repeat(200), 'link', 'z-last'];
      const args = ['--sparse', `--format=${format}`, '-cf', '-', '-C', folder, ...names];
      const bytes = execFileSync('tar', args, { maxBuffer: 2 ** 26 });
      const entries = scan(bytes, 1000);
      assert.deepEqual(
        entries.map(({ name }) => name),
        names,
        format,
      );
      const last = entries.at(-1);
      assert.ok(last);
      assert.equal(contentOf(bytes, last), 'last', format);
      const [sparse, , link] = entries;
      assert.deepEqual([sparse?.isSparse, sparse?.size], [true, 10_000_000], format);
      assert.equal(link?.linkName, 'l'.repeat(200));
    }
  });

  it('may be larger than eight gibibytes in each file', () => {
    const [header] = [makeTarHeader('blobs/sha256/x', 9 * 2 ** 30)];
    assert.equal(readTarHeader(header ?? Buffer.alloc(0))?.size, 9 * 2 ** 30);
  });

  it('ends with a block of zeros, or where its bytes end between two entries', () => {
    const member: Member = { name: 'a', content: 'a' };
    assert.equal(scan(makeTar([member], false)).length, 1);
    const followed = Buffer.concat([makeTar([member]), Buffer.from('anything at all '.repeat(100))]);
    assert.equal(scan(followed).length, 1);
    assert.equal(scan(Buffer.alloc(0)).length, 0);
  });

  it('that is cut, or none at all, is refused', () => {
    const bytes = makeTar([{ name: 'a', content: 'x'.repeat(600) }], false);
    for (const length of [1, 511, 513, 1000, bytes.length - 1]) {
      assert.throws(() => scan(bytes.subarray(0, length)), TarFault, `${length} bytes`);
    }
    assert.throws(() => scan(Buffer.from('this is a text and no archive. '.repeat(40))), /no tar archive/);
  });

  it('with impossible sizes and broken extensions is refused', () => {
    const sized = makeTar([{ name: 'a' }]);
    sized.fill(0xff, 124, 136);
    sealHeader(sized);
    assert.throws(() => scan(sized), /impossible size/);
    const endless = makeTar([{ name: 'a', pax: { size: '999999999999999' } }]);
    assert.throws(() => scan(endless), /too early/);
    const huge = makeTar([{ name: 'a', type: 'x', size: 2 ** 30 }]);
    assert.throws(() => scan(huge), /too long/);
    for (const records of [
      '8 path=x\n',
      '0 path=x\n',
      'path=x\n',
      '99 path=x\n',
      '9 path:xy\n',
      '999999999 a=b\n',
    ]) {
      const broken = makeTar([{ name: 'p', type: 'x', content: records }, { name: 'a' }]);
      assert.throws(() => scan(broken), TarFault, records);
    }
  });

  it('of any bytes is read or refused, and never anything else', () => {
    const archive = makeTar([
      { name: 'cut', pax: { path: long }, content: 'one' },
      { name: 'two', type: 'S', content: 'two' },
    ]);
    const change = fc.tuple(fc.nat(archive.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 6 }), fc.integer({ min: 1, max: 700 }), (changes, chunk) => {
        const bytes = Buffer.from(archive);
        for (const [at, value] of changes) bytes[at] = value;
        for (const start of [0, 512, 1024, 1536])
          if (start + 512 <= bytes.length) sealHeader(bytes.subarray(start));
        try {
          scan(bytes, chunk);
        } catch (error) {
          assert.ok(error instanceof TarFault, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('a header that is made', () => {
  it('is read back, also with the long name of a sha512 blob', () => {
    const name = `blobs/sha512/${'a'.repeat(128)}`;
    const bytes = Buffer.concat([
      makeTarHeader(name, 3),
      Buffer.from('abc'),
      Buffer.alloc(509),
      Buffer.alloc(1024),
    ]);
    assert.deepEqual(
      scan(bytes).map((entry) => [entry.name, entry.size, entry.mode]),
      [[name, 3, 0o644]],
    );
    assert.equal(execFileSync('tar', ['-tf', '-'], { input: bytes }).toString(), `${name}\n`);
  });
});
