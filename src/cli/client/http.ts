// One HTTP exchange with a registry, over the network or a Unix socket, and why there was none as a sentence.
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CommandError, exitCodes } from '../exit-codes.ts';

// Not imported, for the reason that http/connections.ts gives: every command loads this file.
const { request: requestHttp } = process.getBuiltinModule('node:http');

export interface Target {
  readonly origin: string;
  readonly socketPath?: string | undefined;
  /** The process that listens on the socket. */
  readonly process?: number;
  /** Certificate authorities besides those of Node, PEM. */
  readonly authorities?: readonly string[] | undefined;
  /** Takes every certificate: only where no secret is sent. */
  readonly anyCertificate?: boolean;
}

export interface Exchange {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer | Readable | undefined;
  /** How long the connection may be silent; default 60. */
  readonly silenceSeconds?: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

const longestAnswer = 64 * 1024 * 1024;
const silenceSeconds = 60;

/** Sends one request and reads the whole answer. Throws CommandError (exit 7) when there is no answer. */
export async function exchange(target: Target, wanted: Exchange): Promise<Answer> {
  const response = await open(target, wanted);
  try {
    return { status: response.statusCode ?? 0, headers: response.headers, body: await readText(response) };
  } catch (error) {
    throw unreachable(target, error);
  }
}

/** Sends one request; the caller reads the answer's body, or destroys it. */
export async function open(target: Target, wanted: Exchange): Promise<IncomingMessage> {
  try {
    return await begin(target, wanted);
  } catch (error) {
    throw error instanceof CommandError ? error : unreachable(target, error);
  }
}

function begin(
  target: Target,
  { method, path, headers, body, ...limits }: Exchange,
): Promise<IncomingMessage> {
  const url = new URL(target.origin);
  const secure = url.protocol === 'https:';
  const options = {
    method,
    path,
    headers: { 'user-agent': 'berth', ...headers },
    agent: false as const,
    timeout: (limits.silenceSeconds ?? silenceSeconds) * 1000,
    ...(target.socketPath === undefined
      ? { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port || (secure ? 443 : 80) }
      : { socketPath: target.socketPath }),
    ...(target.authorities === undefined ? {} : { ca: [...target.authorities] }),
    ...(target.anyCertificate ? { rejectUnauthorized: false } : {}),
  };
  const answer = Promise.withResolvers<IncomingMessage>();
  const request: ClientRequest = secure ? requestHttps(options) : requestHttp(options);
  request.setHeader('host', url.host);
  request.on('response', answer.resolve);
  request.on('error', answer.reject);
  request.on('timeout', () =>
    request.destroy(new Error(`silent for ${limits.silenceSeconds ?? silenceSeconds} s`)),
  );
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) request.end(body);
  // A server may answer, and close, before it has read everything: then its answer counts and not the broken pipe.
  else pipeline(body, request).catch(answer.reject);
  return answer.promise;
}

async function readText(response: IncomingMessage): Promise<string> {
  const parts: string[] = [];
  let length = 0;
  for await (const part of response.setEncoding('utf8')) {
    length += part.length;
    if (length > longestAnswer) throw new Error('the answer is too long: that is not Berth');
    parts.push(part);
  }
  return parts.join('');
}

function unreachable(target: Target, error: unknown): CommandError {
  const { socketPath, origin, process: pid } = target;
  const hint =
    pid === undefined
      ? ''
      : `. Process ${pid} listens there and may hang: look at its log, or end it with kill ${pid}`;
  const message = `no answer from ${socketPath ?? origin}: ${reasonOf(target, error)}${hint}`;
  return new CommandError(exitCodes.unreachable, message, { cause: error });
}

/** Why a connection failed, as the end of a sentence. */
export function reasonOf({ origin, socketPath }: Target, error: unknown): string {
  const { code = '', message } = rootOf(error);
  const { host, protocol } = new URL(origin);
  const isPlain = protocol === 'http:' && socketPath === undefined;
  const reasons: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'nothing listens there',
    ENOTFOUND: 'no such host',
    EAI_AGAIN: 'the name cannot be looked up now',
    EPROTO: `it does not speak TLS. If plain HTTP is meant: -r http://${host}`,
    ERR_SSL_WRONG_VERSION_NUMBER: `it does not speak TLS. If plain HTTP is meant: -r http://${host}`,
    ECONNRESET: `it broke the connection off${isPlain ? `. If it speaks TLS: -r https://${host}` : ''}`,
    CERT_HAS_EXPIRED: 'its certificate has expired',
    ERR_TLS_CERT_ALTNAME_INVALID: message,
    ...untrusted(host),
  };
  return reasons[code] ?? message;
}

function untrusted(host: string): Record<string, string> {
  const sentence =
    `its certificate comes from an authority that is not trusted here. Put that authority's certificate into ` +
    `/etc/containers/certs.d/${host}/ca.crt, where podman looks too`;
  const codes = [
    'SELF_SIGNED_CERT_IN_CHAIN',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'UNABLE_TO_GET_ISSUER_CERT',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  ];
  return Object.fromEntries(codes.map((code) => [code, sentence]));
}

/** A host with several addresses fails with one error for each. */
function rootOf(error: unknown): NodeJS.ErrnoException {
  if (error instanceof AggregateError) return rootOf(error.errors[0]);
  return error instanceof Error ? error : new Error(String(error));
}
