// A PATCH whose body the test sends piece by piece, as a client on a slow line does.
import assert from 'node:assert/strict';
import { type ClientRequest, request } from 'node:http';
import { offsetOf } from './ledger.ts';

export interface SlowPatch {
  /** Sends some more bytes. */
  send(bytes: Buffer): void;
  /** Ends the body and gives the status of the answer. */
  finish(): Promise<number>;
  /** Resolves with the error when the connection breaks. */
  readonly broken: Promise<Error>;
}

/** Begins a streamed PATCH to the location of an upload. */
export function beginPatch(location: string): SlowPatch {
  const patch: ClientRequest = request(location, {
    method: 'PATCH',
    headers: { 'content-type': 'application/octet-stream', 'transfer-encoding': 'chunked' },
  });
  const answered = new Promise<number>((resolve) => {
    patch.on('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
  });
  const broken = new Promise<Error>((resolve) => patch.on('error', resolve));
  patch.flushHeaders();
  return {
    send: (bytes) => patch.write(bytes),
    finish: async () => {
      patch.end();
      return Promise.race([answered, broken.then((error) => Promise.reject(error))]);
    },
    broken,
  };
}

/** Asks for the state of an upload: how many bytes the server has, and where the rest goes. */
export async function askUpload(location: string): Promise<{ offset: number; location: string }> {
  const response = await fetch(location);
  assert.equal(response.status, 204, `${location}: ${response.status} ${await response.text()}`);
  return {
    offset: offsetOf(response),
    location: new URL(response.headers.get('location') ?? '', location).href,
  };
}

/** Sends the rest of the content after what the server has, and closes the upload. */
export async function finishUpload(location: string, content: Buffer, digest: string): Promise<void> {
  const { offset, location: next } = await askUpload(location);
  const patched = await fetch(next, {
    method: 'PATCH',
    headers: {
      'content-range': `${offset}-${content.length - 1}`,
      'content-type': 'application/octet-stream',
    },
    body: content.subarray(offset),
  });
  assert.equal(patched.status, 202, await patched.text());
  const end = new URL(patched.headers.get('location') ?? '', next);
  end.searchParams.set('digest', digest);
  const closed = await fetch(end, { method: 'PUT' });
  assert.equal(closed.status, 201, await closed.text());
}

/** Waits until the condition holds. Throws with `what` after a minute. */
export async function until(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  for (let waited = 0; waited < 1200; waited += 1) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited a minute in vain: ${what}`);
}
