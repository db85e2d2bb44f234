// A process that moves big blobs up or down and prints how long that took. It touches the bytes as little as it can:
// uploads repeat one prepared block and end in a tail of their own, downloads are counted in a reused buffer.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Connection, expectStatus, targetOf } from './wire.ts';

export interface TransferOrders {
  readonly base: string;
  readonly kind: 'get' | 'put' | 'patch';
  readonly repository: string;
  /** A multiple of 1 MiB. */
  readonly bytes: number;
  /** Transfers at the same time. */
  readonly streams: number;
  /** What to download. */
  readonly digest?: string;
}

export interface TransferOutcome {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly digests: readonly string[];
}

const mebibyte = 1 << 20;
const frameBytes = 32 * 1024;
const orders = JSON.parse(process.argv[2] ?? '') as TransferOrders;

interface Body {
  readonly block: Buffer;
  readonly blocks: number;
  readonly tail: Buffer;
  readonly digest: string;
}

/** Bodies that differ in their last MiB only, so that hashing them beforehand costs one pass. */
function buildBodies(count: number): Body[] {
  const block = randomBytes(mebibyte);
  const blocks = orders.bytes / mebibyte - 1;
  const common = createHash('sha256');
  for (let number = 0; number < blocks; number += 1) common.update(block);
  return Array.from({ length: count }, () => {
    const tail = randomBytes(mebibyte);
    return { block, blocks, tail, digest: `sha256:${common.copy().update(tail).digest('hex')}` };
  });
}

/** `block` as HTTP chunks of the size in which podman writes a body. */
function frame(block: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let from = 0; from < block.length; from += frameBytes) {
    const piece = block.subarray(from, from + frameBytes);
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
  }
  return Buffer.concat(pieces);
}

async function writeAll(socket: Socket, block: Buffer, times: number): Promise<void> {
  for (let number = 0; number < times; number += 1) {
    if (!socket.write(block)) await once(socket, 'drain');
  }
}

async function upload(connection: Connection, body: Body): Promise<void> {
  const opened = await connection.request('POST', `/v2/${orders.repository}/blobs/uploads/`);
  expectStatus(opened, 202, 'POST of an upload');
  const digest = `digest=${encodeURIComponent(body.digest)}`;
  const type = 'Content-Type: application/octet-stream';
  const { socket, host } = connection;
  if (orders.kind === 'put') {
    const target = targetOf(opened, digest);
    const answer = connection.expect();
    socket.write(
      `PUT ${target} HTTP/1.1\r\nHost: ${host}\r\n${type}\r\nContent-Length: ${orders.bytes}\r\n\r\n`,
    );
    await Promise.race([
      writeAll(socket, body.block, body.blocks).then(() => socket.write(body.tail)),
      answer,
    ]);
    expectStatus(await answer, 201, 'PUT of a blob');
    return;
  }
  const answer = connection.expect();
  const target = targetOf(opened);
  socket.write(`PATCH ${target} HTTP/1.1\r\nHost: ${host}\r\n${type}\r\nTransfer-Encoding: chunked\r\n\r\n`);
  const sent = writeAll(socket, frame(body.block), body.blocks).then(() => {
    socket.write(frame(body.tail));
    socket.write('0\r\n\r\n');
  });
  await Promise.race([sent, answer]);
  const streamed = expectStatus(await answer, 202, 'PATCH of a blob');
  expectStatus(await connection.request('PUT', targetOf(streamed, digest)), 201, 'PUT after PATCH');
}

async function download(digest: string): Promise<void> {
  const url = new URL(orders.base);
  const buffer = Buffer.alloc(mebibyte);
  let expected = 0;
  let received = 0;
  const socket = connect({
    port: Number(url.port),
    host: url.hostname,
    onread: {
      buffer,
      callback(count) {
        if (expected === 0) expected = wholeAnswer(buffer.subarray(0, count));
        received += count;
        if (received >= expected) socket.destroy();
        return true;
      },
    },
  });
  await once(socket, 'connect');
  socket.write(`GET /v2/${orders.repository}/blobs/${digest} HTTP/1.1\r\nHost: ${url.host}\r\n\r\n`);
  await once(socket, 'close');
  if (received !== expected) throw new Error(`the download ended after ${received} of ${expected} bytes`);
}

/** The length of an answer, head and body, of which `start` is the beginning. */
function wholeAnswer(start: Buffer): number {
  const head = start.subarray(0, start.indexOf('\r\n\r\n')).toString('latin1');
  const length = Number(/^content-length:[ \t]*(\d+)/im.exec(head)?.[1]);
  if (!head.startsWith('HTTP/1.1 200') || length !== orders.bytes)
    throw new Error(`unexpected answer: ${head}`);
  return head.length + 4 + length;
}

const bodies = orders.kind === 'get' ? [] : buildBodies(orders.streams);
const connections = await Promise.all(bodies.map(() => Connection.open(orders.base)));
const before = process.cpuUsage();
const began = performance.now();
if (orders.kind === 'get') {
  await Promise.all(Array.from({ length: orders.streams }, () => download(orders.digest ?? '')));
} else {
  await Promise.all(
    bodies.map(async (body, at) => {
      const connection = connections[at];
      if (connection !== undefined) await upload(connection, body);
    }),
  );
}
const seconds = (performance.now() - began) / 1000;
const used = process.cpuUsage(before);
for (const connection of connections) connection.close();
const outcome: TransferOutcome = {
  seconds,
  cpuSeconds: (used.user + used.system) / 1e6,
  digests: bodies.map((body) => body.digest),
};
console.log(JSON.stringify(outcome));
