// A process that pushes unique images for a while, from a number of clients at once, and prints how many it pushed.
// Started by the bench with its orders as JSON in the first argument.
import { randomBytes } from 'node:crypto';
import { buildImage, pushImage } from './images.ts';
import { Connection } from './wire.ts';

export interface PushOrders {
  readonly base: string;
  readonly salt: string;
  readonly clients: number;
  /** Connections of each client: how many layers of an image travel at once. */
  readonly connectionsPerClient: number;
  readonly seconds: number;
  /** What each request carries, where the server asks for a sign-in. */
  readonly authorization?: string;
}

export interface PushOutcome {
  readonly images: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

const orders = JSON.parse(process.argv[2] ?? '') as PushOrders;
const noise = randomBytes(1 << 20);
let next = 0;
let images = 0;

async function runClient(client: number, until: number): Promise<void> {
  const connections = await Promise.all(
    Array.from({ length: orders.connectionsPerClient }, () =>
      Connection.open(orders.base, orders.authorization),
    ),
  );
  while (performance.now() < until) {
    const index = next;
    next += 1;
    await pushImage(connections, `bench/push-${client}`, `v${index}`, buildImage(orders.salt, index, noise));
    images += 1;
  }
  for (const connection of connections) connection.close();
}

const began = performance.now();
const until = began + orders.seconds * 1000;
await Promise.all(Array.from({ length: orders.clients }, (_, client) => runClient(client, until)));
const outcome: PushOutcome = {
  images,
  seconds: (performance.now() - began) / 1000,
  cpuSeconds: process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6,
};
console.log(JSON.stringify(outcome));
