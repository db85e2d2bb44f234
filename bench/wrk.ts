// GET load by wrk: one thread, keep-alive connections. Two cores are shared by wrk and the server, on both sides alike.
import { findTool, runCommand } from './tools.ts';

export interface WrkOutcome {
  readonly requestsPerSecond: number;
  readonly p99Milliseconds: number;
}

export const manifestAccept =
  'application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json';

/** Loads `url` over `connections` for `seconds`. Throws when an answer was not 2xx or a socket broke. */
export async function runWrk(
  url: string,
  connections: number,
  seconds: number,
  accept = manifestAccept,
  authorization?: string,
): Promise<WrkOutcome> {
  const printed = await runCommand(findTool('wrk'), [
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--timeout',
    '10s',
    '--latency',
    '-H',
    `Accept: ${accept}`,
    ...(authorization === undefined ? [] : ['-H', `Authorization: ${authorization}`]),
    url,
  ]);
  const complaint = /Non-2xx or 3xx responses: \d+|Socket errors: .*/.exec(printed)?.[0];
  if (complaint !== undefined) throw new Error(`wrk on ${url}: ${complaint}`);
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(printed)?.[1];
  const p99 = /\n\s+99%\s+([\d.]+)(us|ms|s)/.exec(printed);
  if (rate === undefined || p99 === null)
    throw new Error(`wrk printed something else than expected:\n${printed}`);
  return { requestsPerSecond: Number(rate), p99Milliseconds: Number(p99[1]) * milliseconds(p99[2]) };
}

function milliseconds(unit: string | undefined): number {
  return unit === 'us' ? 0.001 : unit === 's' ? 1000 : 1;
}
