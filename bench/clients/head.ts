// A process that sends HEAD requests over many connections for a while and prints how many were answered.
// wrk cannot: it waits for the body that a HEAD's Content-Length announces. Answers are counted by their empty line.
import { once } from 'node:events';
import { connect } from 'node:net';

export interface HeadOrders {
  readonly base: string;
  readonly target: string;
  readonly accept: string;
  readonly connections: number;
  readonly seconds: number;
}

export interface HeadOutcome {
  readonly answers: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

const orders = JSON.parse(process.argv[2] ?? '') as HeadOrders;
const url = new URL(orders.base);
const request = Buffer.from(
  `HEAD ${orders.target} HTTP/1.1\r\nHost: ${url.host}\r\nAccept: ${orders.accept}\r\n\r\n`,
);
const emptyLine = Buffer.from('\r\n\r\n');
const good = Buffer.from('HTTP/1.1 200');
let answers = 0;
let running = true;

async function run(): Promise<void> {
  const buffer = Buffer.alloc(64 * 1024);
  const socket = connect({
    port: Number(url.port),
    host: url.hostname,
    onread: {
      buffer,
      callback(received) {
        const piece = buffer.subarray(0, received);
        // One request is under way at a time, so an answer ends where the bytes received end.
        if (piece.indexOf(good) !== 0)
          throw new Error(`not a 200: ${piece.toString('latin1').slice(0, 300)}`);
        if (!piece.subarray(received - 4).equals(emptyLine)) throw new Error('an answer came in pieces');
        answers += 1;
        if (running) socket.write(request);
        else socket.end();
        return true;
      },
    },
  });
  socket.setNoDelay(true);
  await once(socket, 'connect');
  socket.write(request);
  await once(socket, 'close');
}

const began = performance.now();
let seconds = 0;
setTimeout(() => {
  running = false;
  seconds = (performance.now() - began) / 1000;
}, orders.seconds * 1000);
await Promise.all(Array.from({ length: orders.connections }, () => run()));
const usage = process.cpuUsage();
const outcome: HeadOutcome = { answers, seconds, cpuSeconds: (usage.user + usage.system) / 1e6 };
console.log(JSON.stringify(outcome));
