// kill -9 in the middle of pushes and collections: what was acknowledged is there afterwards, whole, and nothing else stays.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { freeRun, listFiles, openCare } from '../support/care.ts';
import { makeFolder } from '../support/cleanup.ts';
import { keepTimes, repository } from '../support/metadata.ts';

const program = fileURLToPath(new URL('../support/collector-process.ts', import.meta.url));
const rounds = 12;

/** What the process acknowledged until it was killed, `milliseconds` after its first acknowledgement. */
async function liveAndDie(folder: string, round: number, milliseconds: number): Promise<readonly string[]> {
  const child = spawn(process.execPath, [program, folder, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  const ended = once(child, 'close');
  while (!printed.includes('\n') && child.exitCode === null) await pause(5);
  await pause(milliseconds);
  child.kill('SIGKILL');
  await ended;
  // The last line may be cut off.
  return printed.split('\n').slice(0, -1);
}

async function assertThere(registry: Awaited<ReturnType<typeof openCare>>['registry'], line: string) {
  const [, name = '', manifest = '', ...blobs] = line.split(' ');
  const stored = await registry.manifests.pull(repository(name), { digest: manifest as Digest });
  assert.equal(digestOf(stored.bytes), manifest);
  for (const digest of blobs as Digest[]) {
    const blob = await registry.blobs.find(repository(name), digest);
    assert.equal(digestOf(await registry.blobs.readSmall(repository(name), digest, blob)), digest);
  }
}

test('nothing acknowledged is lost and nothing is left over by kills amid continuous collection', async (t: TestContext) => {
  const folder = await makeFolder(t, 'killed');
  const lines: string[] = [];
  for (let round = 0; round < rounds; round += 1) {
    lines.push(...(await liveAndDie(folder, round, 20 + ((round * 73) % 400))));
    assert.deepEqual(
      lines.filter((line) => line.startsWith('failed')),
      [],
    );
  }
  const { registry, clock, damage } = await openCare(t, { folder });
  for (const line of lines) await assertThere(registry, line);
  clock.advance(400 * 86_400);
  const request = { dryRun: false, now: true, force: true };
  await registry.sweep.endStaleUploads();
  await registry.collector.collect(freeRun(), request);
  clock.advance(keepTimes.unlinkDelaySeconds);
  await registry.unlinks.removeDue();
  for (const line of lines) await assertThere(registry, line);
  const report = await registry.scrub.scrub(freeRun(), { deep: true, repair: false });
  assert.deepEqual([report.sound, report.faults, report.unknownFiles.files], [true, [], 0]);
  assert.equal((await listFiles(folder)).length, (await registry.metadata.repositories.totals()).blobs);
  assert.deepEqual(damage, []);
  t.diagnostic(`${lines.length} images acknowledged in ${rounds} lives`);
});
