// The check of `berth doctor` that pushes: a large body through whatever stands in front of the registry, taken back at the end.
import { Readable } from 'node:stream';
import { authorizationOf, type Credential } from '../client/credentials.ts';
import { type Answer, exchange, type Target } from '../client/http.ts';
import { sizeText } from '../size-text.ts';
import type { Finding, Patient } from './finding.ts';
import type { FirstAnswer } from './network.ts';

const chunk = Buffer.alloc(1024 * 1024);
/** Long enough for a proxy that keeps the whole body before it passes it on. */
const silenceSeconds = 300;

const skipped = (text: string): Finding => ({ state: 'skip', check: 'upload', text });
const failed = (text: string): Finding => ({ state: 'fail', check: 'upload', text });

export async function* checkUpload(
  patient: Patient,
  { target, status }: FirstAnswer,
  credential: Credential | undefined,
): AsyncGenerator<Finding> {
  if (patient.uploadBytes === 0) return;
  if (status === 401 && credential === undefined) {
    yield skipped(`not signed in: berth login ${patient.host} lets it try an upload`);
    return;
  }
  try {
    const headers = credential === undefined ? {} : { authorization: authorizationOf(credential) };
    const repository = await findRepository(target, headers);
    const begun = await exchange(target, {
      method: 'POST',
      path: `/v2/${repository}/blobs/uploads/`,
      headers,
    });
    if (begun.status === 401 || begun.status === 403) {
      yield skipped(`these credentials may not push to ${repository}: ${messageOf(begun)}`);
    } else if (begun.status !== 202) yield failed(`an upload cannot begin: ${messageOf(begun)}`);
    else yield* send(patient, target, headers, begun.headers.location ?? '');
  } catch (error) {
    yield failed((error as Error).message);
  }
}

/** Where these credentials probably may push; nothing is left there. */
async function findRepository(target: Target, headers: Record<string, string>): Promise<string> {
  const { status, body } = await exchange(target, { method: 'GET', path: '/api/v1/me', headers });
  if (status !== 200) return 'berth-doctor';
  const { kind, name, namespaces } = JSON.parse(body) as {
    kind: string;
    name: string;
    namespaces: readonly { name: string; role: string | null }[];
  };
  const own = kind === 'robot' ? name.split('+', 1)[0] : name;
  const writable = namespaces.filter(({ role }) => role !== null && role !== 'read');
  const [first] = [...writable.filter((one) => one.name === own), ...writable];
  return first === undefined ? `${own}/berth-doctor` : `${first.name}/berth-doctor`;
}

async function* send(
  { origin, uploadBytes }: Patient,
  target: Target,
  headers: Record<string, string>,
  location: string,
): AsyncGenerator<Finding> {
  const place = URL.parse(location, origin);
  if (place === null || place.origin !== new URL(origin).origin) {
    yield failed(
      `Location leads to ${place?.origin ?? location}, away from ${origin}: http.relativeUrls: true keeps it`,
    );
    return;
  }
  const path = place.pathname + place.search;
  const began = performance.now();
  const answer = await exchange(target, {
    method: 'PATCH',
    path,
    headers: { ...headers, 'content-type': 'application/octet-stream' },
    body: Readable.from(zeros(uploadBytes)),
    silenceSeconds,
  }).catch((error: Error) => error);
  const seconds = (performance.now() - began) / 1000;
  await exchange(target, { method: 'DELETE', path, headers }).catch(() => undefined);
  const size = sizeText(uploadBytes);
  if (answer instanceof Error) yield failed(`a ${size} body was broken off: ${answer.message}`);
  else if (answer.status === 413) {
    yield failed(`a ${size} body is refused (413): raise the proxy's limit (nginx: client_max_body_size 0)`);
  } else if (answer.status !== 202) yield failed(`a ${size} body is refused: ${messageOf(answer)}`);
  else {
    const rate = `${sizeText(uploadBytes / Math.max(seconds, 0.001))}/s`;
    yield {
      state: 'ok',
      check: 'upload',
      text: `${size} body accepted, ${rate}; Location stays on ${origin}`,
    };
  }
}

function* zeros(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= chunk.length)
    yield left < chunk.length ? chunk.subarray(0, left) : chunk;
}

function messageOf({ status, body }: Answer): string {
  try {
    const { errors } = JSON.parse(body) as { errors: readonly { message: string }[] };
    return errors[0]?.message ?? String(status);
  } catch {
    return String(status);
  }
}
