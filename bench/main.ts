// Runs Berth and a peer on the same work in turn and prints how they compare. `npm run bench -- --help` says how.
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { join } from 'node:path';
import { type Options, parseOptions, settingsFor, usage } from './options.ts';
import {
  measureRow,
  medianOf,
  type Result,
  type Row,
  ratioOf,
  type Settings,
  type Side,
  type Suite,
  verdictOf,
} from './row.ts';
import { access } from './rows/access.ts';
import { collection } from './rows/collection.ts';
import { images } from './rows/images.ts';
import { lists } from './rows/lists.ts';
import { processRows } from './rows/process.ts';
import { reads } from './rows/reads.ts';
import { slowFsync } from './rows/slow-fsync.ts';
import { tagLists } from './rows/tags.ts';
import { transfers } from './rows/transfers.ts';
import { berth, type Contender, dockerRegistry, remote } from './servers.ts';
import { formatHeading, formatResult } from './table.ts';
import { findTool } from './tools.ts';

const usualSuites = [reads, transfers, images, lists, tagLists, processRows, collection, access];

function selectSuites(options: Options): Suite[] {
  const suites = options.slowFsync || options.only.length > 0 ? [...usualSuites, slowFsync] : usualSuites;
  return suites
    .map((suite) => ({ ...suite, rows: suite.rows.filter((row) => isSelected(row, options)) }))
    .filter((suite) => suite.rows.length > 0);
}

function isSelected(row: Row, options: Options): boolean {
  return options.only.length === 0 || options.only.some((word) => row.id.includes(word));
}

/** Leaves out rows that a peer which runs elsewhere cannot take part in: Berth is measured alone there. */
function rowFor(row: Row, suite: Suite, peer: Contender): Row {
  return suite.sharedServers || peer.owned ? row : { ...row, berthOnly: true };
}

async function runSuite(
  suite: Suite,
  contenders: readonly [Contender, Contender],
  settings: Settings,
  folder: string,
): Promise<Result[]> {
  const sides: Side[] = [];
  const results: Result[] = [];
  try {
    for (const contender of contenders) {
      const own = mkdtempSync(join(folder, `${suite.id}-`));
      const server = suite.sharedServers ? await contender.launch(own) : undefined;
      sides.push({ contender, server, folder: own, notes: new Map() });
    }
    const [own, peer] = sides;
    if (own === undefined || peer === undefined) throw new Error('two sides are needed');
    await suite.prepare?.(own, settings);
    await suite.prepare?.(peer, settings);
    for (const row of suite.rows) {
      const result = await measureRow(rowFor(row, suite, peer.contender), own, peer, settings);
      console.log(formatResult(result));
      results.push(result);
    }
  } finally {
    for (const side of sides) {
      await side.server?.stop();
      rmSync(side.folder, { recursive: true, force: true });
    }
  }
  return results;
}

/** What the most demanding suite keeps on disk at once: the uploads of the memory row, on one side at a time. */
function checkSpace(folder: string, settings: Settings): void {
  const { bavail, bsize } = statfsSync(folder);
  const wanted = settings.bigBlobBytes * (settings.parallelUploads + 6);
  if (bavail * bsize >= wanted) return;
  throw new Error(
    `${folder} has ${toGibibytes(bavail * bsize)} GiB free and the bench needs ${toGibibytes(wanted)}: use --folder or --quick`,
  );
}

function toGibibytes(bytes: number): string {
  return (bytes / (1 << 30)).toFixed(1);
}

function describeMachine(folder: string): string {
  const model = cpus()[0]?.model ?? 'unknown processor';
  return `${availableParallelism()} cores of ${model}, Linux ${release()}, Node ${process.version}, stores in ${folder}`;
}

function writeJson(file: string, results: readonly Result[]): void {
  const rows = results.map((result) => ({
    id: result.row.id,
    title: result.row.title,
    unit: result.row.unit,
    berth: medianOf(result.berth),
    peer: medianOf(result.peer),
    ratio: ratioOf(result),
    target: result.row.target,
    met: verdictOf(result),
    samples: { berth: result.berth, peer: result.peer },
  }));
  writeFileSync(file, `${JSON.stringify({ rows }, null, 2)}\n`);
}

async function run(options: Options): Promise<void> {
  const suites = selectSuites(options);
  if (suites.length === 0) throw new Error('no row has such a name: --list prints them all');
  if (options.list) {
    for (const suite of [...usualSuites, slowFsync]) for (const row of suite.rows) console.log(row.id);
    return;
  }
  findTool('wrk');
  const settings = settingsFor(options);
  const peer = options.peer === undefined ? dockerRegistry() : remote(options.peer);
  mkdirSync(options.folder, { recursive: true });
  checkSpace(options.folder, settings);
  const folder = mkdtempSync(join(options.folder, 'berth-bench-'));
  const results: Result[] = [];
  console.log(`${describeMachine(options.folder)}\n\n${formatHeading('berth', peer.name)}`);
  try {
    for (const suite of suites) results.push(...(await runSuite(suite, [berth(), peer], settings, folder)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (options.json !== undefined) writeJson(options.json, results);
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) console.log(usage);
  else await run(options);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
