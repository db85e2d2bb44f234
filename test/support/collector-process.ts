// A process of its own that pushes, retags, deletes and collects without rest, for tests that kill it in the middle:
//   node collector-process.ts FOLDER ROUND
// It prints a line for each image that was acknowledged and that nobody deletes: its repository, its manifest, its blobs.
import { setImmediate as turn } from 'node:timers/promises';
import type { Digest } from '../../src/oci/digest.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import { freeRun, openCare, pushBlob, pushImage } from './care.ts';
import { alice, blobDigest, keepTimes, repository } from './metadata.ts';

const [folder = '', round = '0'] = process.argv.slice(2);
const { registry, clock, failures, damage } = await openCare({ after: () => {} }, { folder });
const names = ['team/app', 'team/other'].map(repository);

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** HEAD, then skip; else a mount from the other repository; else an upload. */
async function provide(name: RepositoryName, text: string): Promise<Digest> {
  const digest = blobDigest(text);
  const there = await registry.blobs.find(name, digest).catch(() => undefined);
  if (there !== undefined) return digest;
  const from = names.find((each) => each !== name);
  const mayPull = async () => true;
  if (await registry.blobs.mount({ to: name, from, digest, origin: alice, mayPull })) return digest;
  return await pushBlob(registry, name, text);
}

async function push(name: RepositoryName): Promise<void> {
  for (let count = 0; ; count += 1) {
    const kept = count % 3 === 0;
    const texts = [`shared ${count % 4}`, kept ? `kept ${round} ${name} ${count}` : `gone ${count % 5}`];
    const blobs = await Promise.all(texts.map((text) => provide(name, text)));
    const manifest = await pushImage(registry, name, blobs, `t${count % 7}`);
    if (kept) say(`kept ${name} ${manifest} ${blobs.join(' ')}`);
    else await registry.manifests.remove(name, { digest: manifest }, alice);
    // A push of each client takes less than half a lease of uptime, however they come to lie beside each other.
    clock.advance(keepTimes.leaseSeconds / 16);
    await turn();
  }
}

async function collect(): Promise<void> {
  for (;;) {
    await registry.collector.collect(freeRun(), { dryRun: false, now: true, force: true });
    await registry.sweep.removeOrphanUploads();
    await registry.metadata.advanceClock();
    if (failures.length + damage.length > 0) throw new Error(`${JSON.stringify(damage)} ${failures.join()}`);
  }
}

try {
  await Promise.all([collect(), ...names.map(push)]);
} catch (error) {
  say(`failed ${(error as Error).stack?.replaceAll('\n', ' ')}`);
  process.exit(1);
}
