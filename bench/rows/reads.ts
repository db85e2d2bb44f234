// Rows of small answers: manifests by tag and digest, their HEAD, the HEAD of a blob, and a blob of 10 KB.
import { randomBytes } from 'node:crypto';
import type { HeadOutcome } from '../clients/head.ts';
import { buildImage, pushBlob, pushImage } from '../clients/images.ts';
import { Connection } from '../clients/wire.ts';
import { type Row, type Settings, type Side, type Suite, serverOf } from '../row.ts';
import { runClient } from '../tools.ts';
import { manifestAccept, runWrk } from '../wrk.ts';

const repository = 'bench/app';
const connectionCounts = [16, 256] as const;

interface Question {
  readonly id: string;
  readonly title: string;
  readonly method: 'GET' | 'HEAD';
  readonly timesPeer?: number;
  /** The path below the repository; `notes` holds the digests that prepare() pushed. */
  path(notes: Map<string, string>): string;
}

const questions: readonly Question[] = [
  {
    id: 'manifest-tag',
    title: 'manifest GET by tag',
    method: 'GET',
    timesPeer: 12,
    path: () => 'manifests/latest',
  },
  {
    id: 'manifest-digest',
    title: 'manifest GET by digest',
    method: 'GET',
    timesPeer: 12,
    path: (notes) => `manifests/${notes.get('manifest')}`,
  },
  {
    id: 'manifest-head',
    title: 'manifest HEAD by tag',
    method: 'HEAD',
    timesPeer: 12,
    path: () => 'manifests/latest',
  },
  {
    id: 'blob-head',
    title: 'blob HEAD',
    method: 'HEAD',
    path: (notes) => `blobs/${notes.get('blob')}`,
  },
  {
    id: 'blob-10k',
    title: '10 KB blob GET',
    method: 'GET',
    timesPeer: 5,
    path: (notes) => `blobs/${notes.get('blob')}`,
  },
];

async function rate(side: Side, question: Question, connections: number, seconds: number) {
  const { base } = serverOf(side);
  const target = `/v2/${repository}/${question.path(side.notes)}`;
  if (question.method === 'GET') {
    return { value: (await runWrk(`${base}${target}`, connections, seconds)).requestsPerSecond };
  }
  const orders = { base, target, accept: manifestAccept, connections, seconds };
  const outcome = await runClient<HeadOutcome>('head', orders);
  return { value: outcome.answers / outcome.seconds, clientLoad: outcome.cpuSeconds / outcome.seconds };
}

function rowFor(question: Question, connections: number): Row {
  return {
    id: `${question.id}-${connections}`,
    title: `${question.title}, ${connections} connections`,
    unit: 'requests/s',
    better: 'more',
    ...(question.timesPeer === undefined ? {} : { target: { timesPeer: question.timesPeer } }),
    async measure(side, settings, round) {
      if (round === 0) await rate(side, question, connections, 1);
      return await rate(side, question, connections, settings.seconds);
    },
  };
}

async function prepare(side: Side, _settings: Settings): Promise<void> {
  const connection = await Connection.open(serverOf(side).base);
  const image = buildImage('reads', 7, randomBytes(1 << 20));
  side.notes.set('manifest', await pushImage([connection], repository, 'latest', image));
  side.notes.set('blob', await pushBlob(connection, repository, randomBytes(10_000)));
  connection.close();
}

/** Manifest and small blob reads at 16 and 256 connections. */
export const reads: Suite = {
  id: 'reads',
  sharedServers: true,
  rows: questions.flatMap((question) => connectionCounts.map((count) => rowFor(question, count))),
  prepare,
};
