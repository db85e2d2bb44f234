// Layers on top of each other, against a plain model of a file system that unpacks them one after the other; and looking around
// in the result.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FileTree } from '../../src/inspection/file-tree.ts';
import { fileOf, keyOf, type LayerFile, pathOf } from '../../src/inspection/layer-file.ts';
import { combineAll, sortFiles } from '../../src/inspection/overlay.ts';
import { TarScanner } from '../../src/inspection/tar-scanner.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { type Member, makeTar } from '../support/tars.ts';

const { signal } = new AbortController();

function filesIn(members: readonly Member[], name: string): LayerFile[] {
  const files: LayerFile[] = [];
  const layer = digestOf(Buffer.from(name));
  const scanner = new TarScanner((entry) => {
    const file = fileOf(entry, layer);
    if (file !== undefined) files.push(file);
  });
  scanner.write(makeTar(members));
  return files;
}

async function treeOf(...layers: readonly (readonly Member[])[]): Promise<FileTree> {
  const sorted = [];
  for (const [index, members] of layers.entries()) {
    sorted.push(await sortFiles(filesIn(members, String(index)), signal));
  }
  const all = await combineAll(sorted, signal);
  return new FileTree(all.filter(({ type }) => type !== undefined));
}

function listAll(tree: FileTree): string[] {
  return tree.list('', { recursive: true, from: 0, limit: 10_000 }).items.map(({ key }) => pathOf(key));
}

const file = (name: string, content = name): Member => ({ name, content });
const folder = (name: string): Member => ({ name: `${name}/`, type: '5' });

describe('names of archives', () => {
  it('stay inside', () => {
    const cases: readonly (readonly [string, string, boolean])[] = [
      ['etc/hosts', '/etc/hosts', false],
      ['./etc//hosts/', '/etc/hosts', false],
      ['/etc/hosts', '/etc/hosts', false],
      ['a/../etc/hosts', '/etc/hosts', false],
      ['../../etc/hosts', '/etc/hosts', true],
      ['a/../../etc', '/etc', true],
      ['.', '/', false],
      ['', '/', false],
    ];
    for (const [name, path, escapes] of cases) {
      const found = keyOf(name);
      assert.deepEqual([pathOf(found.key), found.escapes], [path, escapes], name);
    }
    fc.assert(
      fc.property(fc.array(fc.constantFrom('..', '.', '', 'a', '/', 'b')), (parts) => {
        const path = pathOf(keyOf(parts.join('/')).key);
        assert.ok(!path.split('/').some((part) => part === '..' || part === '.'), path);
      }),
    );
  });

  it('that are odd are marked', () => {
    const [out, link, nul, device] = filesIn(
      [
        file('../../etc/passwd'),
        { name: 'hard', type: '1', link: '../../etc/shadow' },
        { name: 'x', pax: { path: 'a\0b' } },
        { name: 'dev/sda', type: '4' },
      ],
      'odd',
    );
    assert.match(out?.note ?? '', /leads out of the archive/);
    assert.match(link?.note ?? '', /links out of the archive/);
    assert.match(nul?.note ?? '', /NUL/);
    assert.equal(nul?.key, 'a\ufffdb');
    assert.deepEqual([device?.type, device?.offset], ['block-device', undefined]);
  });
});

describe('layers', () => {
  it('hide with whiteouts, opaque folders and files in the place of folders', async () => {
    const base = [
      folder('a'),
      file('a/1'),
      file('a/2'),
      folder('b'),
      file('b/1'),
      file('c/deep/1'),
      file('a-b'),
      file('d/1'),
    ];
    const tree = await treeOf(
      base,
      [file('a/.wh.1'), folder('b'), file('b/.wh..wh..opq'), file('b/2'), file('.wh.c'), file('d')],
      [file('b/3'), { name: 'c', type: '2', link: 'a' }],
    );
    assert.deepEqual(listAll(tree), ['/a', '/a/2', '/a-b', '/b', '/b/2', '/b/3', '/c', '/d']);
  });

  it('may delete and make the same path, in whatever order they say so', async () => {
    const base = [folder('d'), file('d/old')];
    for (const again of [
      [file('.wh.d'), folder('d'), file('d/new')],
      [folder('d'), file('d/new'), file('.wh.d')],
    ]) {
      assert.deepEqual(listAll(await treeOf(base, again)), ['/d', '/d/new']);
    }
    assert.deepEqual(listAll(await treeOf(base, [file('.wh..wh..opq'), file('only')])), ['/only']);
  });

  it('take the later of two entries with one name', async () => {
    const tree = await treeOf([file('a', 'one'), file('b'), { name: 'a', type: '2', link: 'b' }]);
    assert.equal(tree.find('a')?.file?.type, 'symlink');
    assert.deepEqual(listAll(tree), ['/a', '/b']);
  });

  it('leave out what storage drivers keep for themselves', async () => {
    const tree = await treeOf([file('.wh..wh.plnk/1'), file('.wh..wh.aufs'), file('a')]);
    assert.deepEqual(listAll(tree), ['/a']);
  });

  it('are what a file system has after unpacking them one after the other', async () => {
    const name = fc
      .array(fc.constantFrom('a', 'b', 'a-', 'c'), { minLength: 1, maxLength: 3 })
      .map((parts) => parts.join('/'));
    const member = fc.oneof(
      name.map((path): Member => file(path)),
      name.map((path): Member => folder(path)),
      name.map((path): Member => ({ name: path.replace(/[^/]*$/, '.wh.$&'), content: '' })),
      name.map((path): Member => ({ name: `${path}/.wh..wh..opq`, content: '' })),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(member, { maxLength: 8 }), { maxLength: 6 }), async (layers) => {
        // In a real layer a path is a folder or a file, and nothing lies below a file.
        const possible = layers.map(withoutContradictions);
        const tree = await treeOf(...possible);
        assert.deepEqual(new Set(listAll(tree)), unpack(possible));
      }),
      { numRuns: 2000 },
    );
  });

  it('are sorted in runs as they would be at once', async () => {
    const names = Array.from({ length: 25_000 }, (_, index) => `f${(index * 7919) % 20_000}`);
    const one = filesIn([file('x')], 'run')[0];
    assert.ok(one);
    const files = names.map((key, index) => ({ ...one, key, size: index }));
    const sorted = await sortFiles(files, signal);
    const wanted = new Map(files.map((each) => [each.key, each.size]));
    assert.deepEqual(
      sorted.map(({ key, size }) => [key, size]),
      [...wanted].sort(([first], [second]) => (first < second ? -1 : 1)),
    );
  });

  it('are no longer put together when nobody waits', async () => {
    const controller = new AbortController();
    controller.abort(new Error('gone'));
    await assert.rejects(sortFiles(filesIn([file('a')], 'a'), controller.signal), /gone/);
  });
});

function withoutContradictions(members: readonly Member[]): Member[] {
  const kept: Member[] = [];
  const plain = (name: string) => name.replace(/\/$/, '');
  for (const member of members) {
    const isMark = member.name.includes('.wh.');
    const path = plain(member.name).replace('/.wh..wh..opq', '');
    const clashes = kept.some((other) => {
      if (isMark && !member.name.endsWith('.opq')) return false;
      if (other.name.includes('.wh.') && !other.name.endsWith('.opq')) return false;
      const own = plain(other.name).replace('/.wh..wh..opq', '');
      const isFile = (one: Member) => one.type === undefined && !one.name.includes('.wh.');
      if (own === path) return isFile(member) !== isFile(other);
      return (isFile(other) && path.startsWith(`${own}/`)) || (isFile(member) && own.startsWith(`${path}/`));
    });
    if (!clashes) kept.push(member);
  }
  return kept;
}

/** What a naive unpacker leaves: whiteouts of a layer first, then its files. Folders above files come into being by themselves. */
function unpack(layers: readonly (readonly Member[])[]): Set<string> {
  const system = new Map<string, 'file' | 'folder'>();
  const removeBelow = (path: string) => {
    for (const other of system.keys()) if (other.startsWith(`${path}/`)) system.delete(other);
  };
  for (const layer of layers) {
    for (const { name } of layer) {
      const [, parent = '', last = ''] = /^(?:(.*)\/)?([^/]*)$/.exec(name) ?? [];
      const above = parent === '' ? '' : `/${parent}`;
      if (last === '.wh..wh..opq') removeBelow(above);
      else if (last.startsWith('.wh.')) {
        system.delete(`${above}/${last.slice(4)}`);
        removeBelow(`${above}/${last.slice(4)}`);
      }
    }
    for (const { name, type } of layer) {
      if (name.includes('.wh.')) continue;
      const path = `/${name.replace(/\/$/, '')}`;
      // A file in the way of a folder goes; a folder in the way of a file goes with what is in it.
      if (type === '5') system.set(path, 'folder');
      else {
        removeBelow(path);
        system.set(path, 'file');
      }
    }
  }
  return new Set(system.keys());
}

describe('a tree', () => {
  it('lists a folder and everything below it in pages', async () => {
    const tree = await treeOf([
      folder('a'),
      file('a/1'),
      file('a/b/c/2'),
      file('a-'),
      file('a/b.'),
      file('z'),
    ]);
    const pageAll = (key: string, recursive: boolean, limit: number) => {
      const found: string[] = [];
      let from: number | undefined = 0;
      while (from !== undefined) {
        const page = tree.list(key, { recursive, from, limit });
        assert.ok(page.items.length <= limit);
        found.push(...page.items.map((one) => pathOf(one.key)));
        from = page.next;
      }
      return found;
    };
    for (const limit of [1, 2, 100]) {
      assert.deepEqual(pageAll('', false, limit), ['/a', '/a-', '/z']);
      assert.deepEqual(pageAll('a', false, limit), ['/a/1', '/a/b', '/a/b.']);
      assert.deepEqual(pageAll('a', true, limit), ['/a/1', '/a/b/c/2', '/a/b.']);
      assert.deepEqual(pageAll('nothing', false, limit), []);
    }
    assert.equal(tree.find(keyOf('a/b').key)?.file, undefined, 'a folder that no layer lists');
    assert.equal(tree.find(keyOf('a/b/c/d').key), undefined);
  });

  it('follows links within itself, and not for ever', async () => {
    const link = (name: string, target: string): Member => ({ name, type: '2', link: target });
    const tree = await treeOf([
      file('usr/lib/os-release'),
      link('etc/os-release', '../usr/lib/os-release'),
      link('lib', 'usr/lib'),
      link('absolute', '/lib/os-release'),
      link('out', '../../../../usr/lib'),
      link('one', 'two'),
      link('two', 'one'),
      link('dangling', 'nowhere'),
      link('self', 'self/x'),
      file('file'),
    ]);
    const resolve = (path: string, last = true) => {
      const found = tree.resolve(path, last);
      return found === 'loop' || found === undefined ? found : pathOf(found.key);
    };
    const target = '/usr/lib/os-release';
    for (const path of [
      '/etc/os-release',
      'lib/os-release',
      '/absolute',
      '/out/os-release',
      '/lib/../lib/os-release',
    ]) {
      assert.equal(resolve(path), target, path);
    }
    assert.equal(resolve('/etc/os-release', false), '/etc/os-release');
    assert.equal(resolve('/one'), 'loop');
    assert.equal(resolve('/self'), 'loop');
    assert.equal(resolve('/dangling'), undefined);
    assert.equal(resolve('/file/x'), undefined);
    assert.equal(resolve('/../..'), '/');
    assert.equal(resolve('/'), '/');
  });
});
