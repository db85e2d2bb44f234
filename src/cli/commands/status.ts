// `berth status`: how the registry is. With --health only the exit code answers, for health checks.
import type { Command } from 'commander';
import type { Config } from '../../config/config.ts';
import { Api } from '../client/api.ts';
import { type DoorOptions, findServer, findUnannounced, openDoor } from '../client/door.ts';
import { exchange } from '../client/http.ts';
import { addConfigOptions, type ConfigOptions, loadFor } from '../config-options.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { type CareStatus, careFacts } from '../output/care-status.ts';
import { printFacts, printJson } from '../output/print.ts';
import { countText } from '../output/text.ts';
import { sizeText } from '../size-text.ts';
import { examplesText } from './define.ts';

const healthSeconds = 5;

interface StatusOptions extends ConfigOptions {
  readonly registry?: string;
  readonly health?: boolean;
  readonly json?: boolean;
}

/** As GET /api/v1/status answers. */
interface Status extends CareStatus {
  readonly version: string;
  readonly mode: 'open' | 'token';
  readonly writes: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly size: number;
  readonly disk: { readonly free: number; readonly total: number };
  readonly warnings: readonly { readonly code: string; readonly detail: string }[];
}

const notes = `
Exit codes of --health: 0 ready, 1 not ready (stopping, or the disk failed), 7 no answer within 5 s.`;

export function addStatus(program: Command, context: CommandContext): void {
  const command = program
    .command('status')
    .description('how the registry is: what runs, counts, disk, warnings');
  command
    .option('-r, --registry <host|url>', 'the registry to ask (else BERTH_REGISTRY, else this machine)')
    .option('--health', 'ask the server of this configuration; print nothing when it is ready')
    .option('--json', "the server's own answer");
  addConfigOptions(command)
    .addHelpText('after', notes)
    .addHelpText(
      'after',
      examplesText(['status', 'status -r registry.example.com', 'status --health && echo ready']).concat(
        '\n  HealthCmd=berth status --health          in a Quadlet',
      ),
    )
    .action((options: StatusOptions) =>
      options.health ? health(options, context) : status(options, context),
    );
}

async function status(options: StatusOptions, context: CommandContext): Promise<void> {
  const door = await findDoor(options, context);
  if (door === undefined) return readiness(options, context);
  const found = await new Api(door).get<Status>('status');
  if (options.json) {
    printJson(found, context);
    return;
  }
  const { users, repositories, tags, manifests, blobs, openUploads = 0 } = found.counts;
  const counts = { user: users, repository: repositories, tag: tags, manifest: manifests, blob: blobs };
  const named = Object.entries(counts).flatMap(([noun, count]) =>
    count === undefined ? [] : [countText(count, noun)],
  );
  printFacts(
    [
      ['registry', door.host],
      ['address', door.target.socketPath ?? door.target.origin],
      ['version', found.version],
      ['access', found.mode],
      ['writes', found.writes],
      ['holds', `${named.join(', ')}; ${sizeText(found.size)}`],
      ['pushes', openUploads === 0 ? undefined : `${countText(openUploads, 'upload')} open`],
      ['disk', `${sizeText(found.disk.free)} of ${sizeText(found.disk.total)} free`],
      ...careFacts(found),
      ...found.warnings.map(({ detail }) => ['warning', detail] as const),
    ],
    context,
  );
}

/** A registry that is named, or the server on this machine; undefined: no server answers on a socket. Nothing is started. */
async function findDoor(options: StatusOptions, context: CommandContext) {
  const byFlag = options.address !== undefined || options.port !== undefined || options.data !== undefined;
  const named: DoorOptions = options;
  if (named.registry !== undefined || (context.environment.BERTH_REGISTRY && !byFlag)) {
    return openDoor(named, context);
  }
  if (options.address !== undefined || options.port !== undefined) return undefined;
  const { config } = loadFor(options, context);
  return (await findServer(config, context)) ?? (await findUnannounced(config, context));
}

async function health(options: StatusOptions, context: CommandContext): Promise<void> {
  const url = readinessUrl(loadFor(options, context).config);
  const { status: code, body } = await ask(url);
  if (code === 200) return;
  context.finish(exitCodes.failed);
  context.stderr.write(`berth: ${url.origin} is not ready (${code}): ${body.trim()}\n`);
}

/** What the configured address says of itself, where there is no socket to ask on. */
async function readiness(options: StatusOptions, context: CommandContext): Promise<void> {
  const url = readinessUrl(loadFor(options, context).config);
  const { status: code, body } = await ask(url);
  if (code !== 200) context.finish(exitCodes.failed);
  const fields = parseFields(url, body);
  if (options.json) context.stdout.write(`${body.trim()}\n`);
  else {
    const facts = Object.entries(fields).map(([name, value]) => [name, String(value)] as const);
    printFacts([['address', url.origin], ...facts], context);
  }
}

/** Where the server of `config` answers from this machine. */
function readinessUrl({ http }: Config): URL {
  if (http.port === 0) {
    const message = 'http.port is 0, so the port was picked when the server started: name it with --port';
    throw new CommandError(exitCodes.wrongUsage, message);
  }
  const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[http.address] ?? http.address;
  const inUrl = host.includes(':') ? `[${host}]` : host;
  return new URL(`${http.tls === undefined ? 'http' : 'https'}://${inUrl}:${http.port}/readyz`);
}

/** The certificate is made out to the public name, not to this machine's loopback address, and no secret is sent. */
function ask({ origin, pathname }: URL): Promise<{ status: number; body: string }> {
  const target = { origin, anyCertificate: true };
  return exchange(target, { method: 'GET', path: pathname, silenceSeconds: healthSeconds });
}

function parseFields(url: URL, body: string): Record<string, unknown> {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new CommandError(exitCodes.failed, `${url.origin} does not answer like Berth`, { cause: error });
  }
}
