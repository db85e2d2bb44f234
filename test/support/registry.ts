// startRegistry(t): a real registry in a folder of its own on a free port, that closes itself with the test.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import pino from 'pino';
import { type RunningServer, startServer } from '../../src/cli/server.ts';
import type { Config } from '../../src/config/config.ts';
import { settingsInForce } from '../../src/config/in-force.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Clock } from '../../src/storage/clock.ts';
import { writeBlankDatabase } from './blank-database.ts';
import { keepWriterThreads } from './writer-threads.ts';

keepWriterThreads();

export interface TestRegistry extends RunningServer {
  readonly config: Config;
  readonly data: string;
  /** The log lines so far, parsed. */
  readonly logged: Record<string, unknown>[];
}

/** Settings by dotted path, as flags would give them. */
export type Settings = Record<string, string>;

/** Starts a registry with default settings but for `settings` and a small ballast. With `data`, on a folder that the caller owns. */
export async function startRegistry(
  t: TestContext,
  settings: Settings = {},
  options: { data?: string; clock?: Clock } = {},
): Promise<TestRegistry> {
  const data = options.data ?? (await temporaryFolder(t));
  if (options.data === undefined) writeBlankDatabase(data);
  const all = { data, 'http.port': '0', 'storage.ballast': '4KiB', ...settings };
  const flags = Object.entries(all).map(([path, text]) => ({ path, flag: `--${path}`, text }));
  const loaded = loadConfig({ folder: data, environment: {}, flags });
  const { config } = loaded;
  const inForce = settingsInForce(loaded);
  const logged: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) });
  const server = await startServer({
    config,
    log,
    version: 'test',
    settings: () => inForce,
    ...(options.clock ? { clock: options.clock } : {}),
  });
  let closed: Promise<void> | undefined;
  const close = () => (closed ??= server.close());
  t.after(close);
  return { ...server, close, config, data, logged };
}

/** A folder that is removed with the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
