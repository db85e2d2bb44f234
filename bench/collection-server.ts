// A registry that collects when it is told to: each line on standard input is answered with a line of JSON. Its clock can be
// moved on, so that the delay before files are removed need not be waited for. Run by the rows of the collection.
import { createInterface } from 'node:readline';
import pino from 'pino';
import { startServer } from '../src/cli/server.ts';
import { loadConfig } from '../src/config/load.ts';

const data = process.argv[2] ?? '';
const flags = Object.entries({ data, 'http.port': '0', 'log.requests': 'false' }).map(([path, text]) => ({
  path,
  flag: `--${path}`,
  text,
}));
const { config } = loadConfig({ folder: data, environment: {}, flags });
let ahead = 0;
const clock = {
  unixSeconds: () => Date.now() / 1000,
  monotonicSeconds: () => performance.now() / 1000 + ahead,
};
const server = await startServer({
  config,
  log: pino({ level: 'warn' }, pino.destination(2)),
  version: 'bench',
  clock,
});
const say = (what: object): boolean => process.stdout.write(`${JSON.stringify(what)}\n`);
say({ url: server.url });

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'stop') break;
  ahead += line === 'files' ? 61 : 0;
  const { operations, collector } = server.registry;
  const request = { dryRun: false, now: true, force: true };
  const id = await operations.start('gc', request, { actor: 'bench' }, (run) =>
    collector.collect(run, request),
  );
  say((await operations.wait(id)) ?? {});
}
await server.close();
