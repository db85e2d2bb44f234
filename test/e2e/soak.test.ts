// A soak: clients push, retag, delete and pull for a while over HTTP, collections run one after the other, and the registry's
// uptime passes 5,000 times as fast, so that leases and grace times end in the middle of it. No push may fail because of that,
// and when everything is quiet nothing is left over.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { digestOf } from '../../src/oci/digest.ts';
import type { Clock } from '../../src/storage/clock.ts';
import { freeRun, listFiles } from '../support/care.ts';
import { ociManifest, pushBlob, putManifest, sha256 } from '../support/client.ts';
import { makeRandom } from '../support/pusher.ts';
import { startRegistry } from '../support/registry.ts';

const soakSeconds = 30;
const clients = 6;
const repositories = ['team/a', 'team/b', 'other/c'];
const tags = ['v1', 'v2', 'v3', 'latest'];
/** 24 h of lease are 17 s: a push has half of that from its first HEAD to its manifest. */
const speed = 5000;

interface FastClock extends Clock {
  advance(seconds: number): void;
}

function fastClock(): FastClock {
  const begun = performance.now();
  let ahead = 0;
  return {
    unixSeconds: () => Date.now() / 1000,
    monotonicSeconds: () => ((performance.now() - begun) / 1000) * speed + ahead,
    advance: (seconds) => {
      ahead += seconds;
    },
  };
}

interface Counts {
  pushes: number;
  skipped: number;
  pulls: number;
  deletes: number;
}

/** Pushes an image of its own config and two layers out of a pool that all clients share; what HEAD says is there is skipped. */
async function pushOne(url: string, name: string, tag: string, random: () => number, counts: Counts) {
  const shared = () => `layer ${Math.floor(random() * 60)} ${'x'.repeat(2000)}`;
  const contents = [`config ${random()}`, shared(), shared()];
  const descriptors = [];
  for (const content of contents) {
    const digest = sha256(content);
    const head = await fetch(`${url}/v2/${name}/blobs/${digest}`, { method: 'HEAD' });
    assert.ok(head.status === 200 || head.status === 404, `HEAD of a blob: ${head.status}`);
    if (head.status === 404) await pushBlob(url, name, content);
    else counts.skipped += 1;
    descriptors.push({ mediaType: 'application/octet-stream', digest, size: content.length });
  }
  const [config, ...layers] = descriptors;
  const reply = await putManifest(url, name, tag, {
    schemaVersion: 2,
    mediaType: ociManifest,
    config,
    layers,
  });
  const answer = await reply.text();
  assert.equal(reply.status, 201, `PUT of a manifest: ${reply.status} ${answer}`);
  counts.pushes += 1;
}

async function pullOne(url: string, name: string, tag: string, counts: Counts) {
  const reply = await fetch(`${url}/v2/${name}/manifests/${tag}`);
  const body = await reply.text();
  assert.ok(reply.status === 200 || reply.status === 404, `GET of a manifest: ${reply.status}`);
  if (reply.status === 404) return;
  assert.equal(sha256(body), reply.headers.get('docker-content-digest'));
  const { layers } = JSON.parse(body) as { layers: { digest: string }[] };
  for (const { digest } of layers) {
    const blob = await fetch(`${url}/v2/${name}/blobs/${digest}`);
    const bytes = Buffer.from(await blob.arrayBuffer());
    // Somebody may have deleted the manifest meanwhile; within half a lease its blobs stay.
    assert.equal(blob.status, 200, `GET of a blob: ${blob.status}`);
    assert.equal(digestOf(bytes), digest);
  }
  counts.pulls += 1;
}

async function deleteOne(url: string, name: string, tag: string, random: () => number, counts: Counts) {
  const head = await fetch(`${url}/v2/${name}/manifests/${tag}`, { method: 'HEAD' });
  const digest = head.headers.get('docker-content-digest');
  if (digest === null) return;
  const reference = random() < 0.5 ? digest : tag;
  const reply = await fetch(`${url}/v2/${name}/manifests/${reference}`, { method: 'DELETE' });
  assert.ok(reply.status === 202 || reply.status === 404, `DELETE: ${reply.status} ${await reply.text()}`);
  counts.deletes += 1;
}

test('nobody’s push fails while collections run without a pause, and nothing is left over', async (t: TestContext) => {
  const clock = fastClock();
  const { url, registry, data } = await startRegistry(t, { 'collector.enabled': 'false' }, { clock });
  const counts: Counts = { pushes: 0, skipped: 0, pulls: 0, deletes: 0 };
  const until = performance.now() + soakSeconds * 1000;
  const isOver = () => performance.now() >= until;
  const client = async (seed: number) => {
    const random = makeRandom(seed);
    const pick = <Item>(items: readonly Item[]) => items[Math.floor(random() * items.length)] as Item;
    while (!isOver()) {
      const [name, tag, dice] = [pick(repositories), pick(tags), random()];
      if (dice < 0.55) await pushOne(url, name, tag, random, counts);
      else if (dice < 0.8) await pullOne(url, name, tag, counts);
      else await deleteOne(url, name, tag, random, counts);
    }
  };
  let collections = 0;
  let freed = 0;
  const collect = async () => {
    while (!isOver()) {
      const request = { dryRun: false, now: collections % 2 === 0, force: true };
      freed += (await registry.collector.collect(freeRun(), request)).freed.blobs;
      collections += 1;
      await pause(20);
    }
  };
  await Promise.all([collect(), ...Array.from({ length: clients }, (_, seed) => client(seed + 1))]);
  t.diagnostic(`${JSON.stringify(counts)} beside ${collections} collections that freed ${freed} blobs`);
  assert.ok(counts.pushes > 20 && counts.skipped > 0 && counts.deletes > 0 && collections > 5 && freed > 0);

  clock.advance(400 * 86_400);
  await registry.sweep.endStaleUploads();
  await registry.collector.collect(freeRun(), { dryRun: false, now: true, force: true });
  clock.advance(86_400);
  await registry.unlinks.removeDue();
  const report = await registry.scrub.scrub(freeRun(), { deep: true, repair: false });
  assert.deepEqual([report.sound, report.faults, report.unknownFiles.files], [true, [], 0]);
  assert.equal((await listFiles(data)).length, (await registry.metadata.repositories.totals()).blobs);
});
