// What a list of files keeps in memory is what it counts: a name that is cut does not hold on to the whole of it.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { fileOf, type LayerFile, longestPath } from '../../src/inspection/layer-file.ts';
import { TarScanner } from '../../src/inspection/tar-scanner.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { makeTar } from '../support/tars.ts';

const layer = `sha256:${'0'.repeat(64)}` as Digest;
const mebibyte = 1024 * 1024;
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** The least that is held once everything that nobody holds was swept; that goes on beside the program. */
async function heldBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 10; look += 1) {
    collectGarbage();
    await setTimeout(10);
    const { heapUsed, external } = process.memoryUsage();
    least = Math.min(least, heapUsed + external);
  }
  return least;
}

it('names and links of a mebibyte are not kept for the piece of them that is shown', async () => {
  const files: LayerFile[] = [];
  const scanner = new TarScanner((entry) => {
    const file = fileOf(entry, layer);
    if (file !== undefined) files.push(file);
  });
  const huge = 'n'.repeat(mebibyte - 100);
  const members = [
    { name: 'link', type: '2', gnuLink: huge },
    { name: 'cut', gnuName: huge },
    { name: 'pax', type: '2', pax: { path: huge.slice(100), linkpath: 'l' } },
    { name: 'white', gnuName: `a/.wh.${huge}` },
  ];
  const archives = members.map((member) => makeTar([member], false));
  const before = await heldBytes();
  for (let round = 0; round < 10; round += 1) for (const archive of archives) scanner.write(archive);
  const held = (await heldBytes()) - before;
  assert.equal(files.length, 40);
  assert.ok(held < 4 * mebibyte, `${held} bytes are held for 40 files`);
});

it('short names in long paths of dots are not kept with the dots', async () => {
  const dots = './'.repeat(longestPath / 2 - 20);
  const before = await heldBytes();
  const files = Array.from({ length: 5000 }, (_, index) => {
    const common = { linkName: '', type: '0', size: 0, mode: 0, uid: 0, gid: 0, modifiedAt: 0 };
    return fileOf(
      {
        ...common,
        name: Buffer.from(`${dots}name-of-${index}-file`).toString(),
        offset: 0,
        storedSize: 0,
        isSparse: false,
      },
      layer,
    );
  });
  const held = (await heldBytes()) - before;
  assert.equal(files.length, 5000);
  assert.ok(held < 4 * mebibyte, `${held} bytes are held for 5000 files`);
});
