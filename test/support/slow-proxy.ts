// Stands before a registry, hands everything on, and takes its time with large blobs: so that a process is killed in the middle of
// one, and the test sees where the next one goes on.
import { createServer, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline, Transform } from 'node:stream';
import { type Cleanup, onEnd } from './cleanup.ts';

export interface SlowProxy {
  readonly url: string;
  /** Requests for the rest of a blob: the byte where each began. */
  readonly resumedAt: readonly number[];
  /** Bytes of blobs that were handed on. */
  readonly blobBytes: () => number;
}

export async function startSlowProxy(
  t: Cleanup,
  target: string,
  bytesPerMillisecond: number,
): Promise<SlowProxy> {
  const resumedAt: number[] = [];
  let blobBytes = 0;
  const server = createServer((request, response) => {
    const start = /^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1];
    if (start !== undefined) resumedAt.push(Number(start));
    const isBlob = /\/blobs\//.test(request.url ?? '');
    const { method, headers } = request;
    const forwarded = send(new URL(request.url ?? '/', target), { method, headers }, (answer) => {
      if (response.destroyed) return void answer.destroy();
      response.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders();
      const slowly = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          if (!isBlob) return done(null, chunk);
          blobBytes += chunk.length;
          setTimeout(() => done(null, chunk), chunk.length / bytesPerMillisecond);
        },
      });
      // What breaks off on one side breaks off on the other: whoever asked may have been killed.
      pipeline(answer, slowly, response, (error) => error && response.destroy());
    });
    forwarded.on('error', () => response.destroy());
    forwarded.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, async () => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, resumedAt, blobBytes: () => blobBytes };
}
