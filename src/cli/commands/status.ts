// `berth status`: asks the configured server how it is. With --health only the exit code answers, for health checks.
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Command } from 'commander';
import type { Config } from '../../config/config.ts';
import { addConfigOptions, type ConfigOptions, loadFor } from '../config-options.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';

const timeoutMilliseconds = 5000;
const longestAnswer = 65_536;

interface StatusOptions extends ConfigOptions {
  readonly health?: boolean;
  readonly json?: boolean;
}

const help = `
Exit codes: 0 ready, 1 not ready (stopping, or the disk failed), 7 no answer within 5 s.

Examples:
  berth status
  berth status --health && echo ready
  HealthCmd=berth status --health          in a Quadlet`;

export function addStatus(program: Command, context: CommandContext): void {
  addConfigOptions(program.command('status').description('ask the server of this configuration how it is'))
    .option('--health', 'print nothing when it is ready; the exit code answers')
    .option('--json', "the server's own answer")
    .addHelpText('after', help)
    .action((options: StatusOptions) => status(options, context));
}

async function status(options: StatusOptions, context: CommandContext): Promise<void> {
  const url = readinessUrl(loadFor(options, context).config);
  const { statusCode, body } = await ask(url);
  const ready = statusCode === 200;
  context.finish(ready ? exitCodes.done : exitCodes.failed);
  if (options.health && ready) return;
  if (options.health)
    context.stderr.write(`berth: ${url.origin} is not ready (${statusCode}): ${body.trim()}\n`);
  else if (options.json) context.stdout.write(`${body.trim()}\n`);
  else context.stdout.write(statusText(url, body));
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

function ask(url: URL): Promise<{ statusCode: number; body: string }> {
  const answer = Promise.withResolvers<{ statusCode: number; body: string }>();
  const fail = (error: Error): void => {
    const reason =
      (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'nothing listens there' : error.message;
    answer.reject(
      new CommandError(exitCodes.unreachable, `no answer from ${url.origin}: ${reason}`, { cause: error }),
    );
  };
  const read = async (response: IncomingMessage): Promise<void> => {
    const parts: string[] = [];
    let length = 0;
    for await (const part of response.setEncoding('utf8')) {
      length += part.length;
      if (length > longestAnswer) throw new Error('the answer is too long: that is not Berth');
      parts.push(part);
    }
    answer.resolve({ statusCode: response.statusCode ?? 0, body: parts.join('') });
  };
  const options = { signal: AbortSignal.timeout(timeoutMilliseconds), agent: false };
  const onResponse = (response: IncomingMessage): void => void read(response).catch(fail);
  // The certificate is made out to the public name, not to this machine's loopback address, and no secret is sent.
  const request =
    url.protocol === 'https:'
      ? requestHttps(url, { ...options, rejectUnauthorized: false }, onResponse)
      : requestHttp(url, options, onResponse);
  request.on('error', fail).end();
  return answer.promise;
}

function statusText(url: URL, body: string): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(body);
  } catch (error) {
    throw new CommandError(exitCodes.failed, `${url.origin} does not answer like Berth`, { cause: error });
  }
  const rows = [['address', url.origin], ...Object.entries(fields)];
  return rows.map(([name, value]) => `${String(name).padEnd(10)} ${String(value)}\n`).join('');
}
