// A program that the disk driver's tests run as a process of its own, to kill it or to inject faults into its system calls.
import { PassThrough, Readable } from 'node:stream';
import { digestOf } from '../../src/oci/digest.ts';
import { openDiskStore } from '../../src/storage/disk/disk-store.ts';

const [, , task, folder = '', bytes = '1000'] = process.argv;
const sizeLimit = 1 << 30;
const store = await openDiskStore({
  folder,
  onFatal: (error) => process.stdout.write(`fatal ${error.name}\n`),
});
process.stdout.write('open\n');

if (task === 'append') {
  // Acknowledges pieces of 100,000 bytes for as long as it lives, beside an append that never ends.
  const upload = await store.beginUpload('killed', 'sha256');
  const endless = new PassThrough();
  void store.append(await store.beginUpload('endless', 'sha256'), endless, { sizeLimit });
  for (let piece = 0; piece < 5000; piece++) {
    endless.write(Buffer.alloc(1000, 7));
    const { size } = await store.append(upload, Readable.from([Buffer.alloc(100_000, piece)]), { sizeLimit });
    process.stdout.write(`acknowledged ${size}\n`);
  }
} else if (task === 'commit') {
  // Commits twice: under a fault of the medium, the second must not be believed either.
  for (const id of ['one', 'two']) {
    try {
      const content = Buffer.from(`the content of ${id}`);
      const upload = await store.beginUpload(id, 'sha256');
      await store.append(upload, Readable.from([content]), { sizeLimit });
      const { location } = await store.commit(upload, digestOf(content));
      process.stdout.write(`committed ${location}\n`);
    } catch (error) {
      process.stdout.write(`refused ${(error as Error).name}\n`);
    }
  }
  await store.close();
} else if (task === 'again') {
  // The same upload once more after its sync failed.
  const content = Buffer.alloc(Number(bytes), 1);
  const upload = await store.beginUpload('again', 'sha256');
  await store.append(upload, Readable.from([content]), { sizeLimit }).catch((error) => {
    process.stdout.write(`refused ${error.name}\n`);
  });
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      await store.commit(upload, digestOf(content));
      process.stdout.write('committed\n');
    } catch (error) {
      process.stdout.write(`refused ${(error as Error).name}\n`);
    }
  }
  await store.close();
}
