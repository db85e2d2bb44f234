// A process that signs in by password over many connections for a while and prints how often it was answered. Each sign-in is
// of an account and a password that nobody used before: the server must hash it, and no account has failures to wait for.
import { Connection, expectStatus } from './wire.ts';

export interface SignInOrders {
  readonly base: string;
  /** What no other run on the same server has in its names. */
  readonly salt: string;
  /** Sign-ins under way at the same time. */
  readonly parallel: number;
  readonly seconds: number;
}

export interface SignInOutcome {
  readonly signIns: number;
  readonly seconds: number;
}

const orders = JSON.parse(process.argv[2] ?? '') as SignInOrders;
let next = 0;

async function run(until: number): Promise<void> {
  const connection = await Connection.open(orders.base);
  while (performance.now() < until) {
    const number = next;
    next += 1;
    const credentials = `${orders.salt}-${number}:a wrong password ${number}`;
    const header = `Authorization: Basic ${Buffer.from(credentials).toString('base64')}\r\n`;
    // Anything else, such as 429, was not hashed.
    expectStatus(await connection.request('GET', '/token?service=berth', header), 401, 'a sign-in');
  }
  connection.close();
}

const began = performance.now();
const until = began + orders.seconds * 1000;
await Promise.all(Array.from({ length: orders.parallel }, () => run(until)));
const outcome: SignInOutcome = { signIns: next, seconds: (performance.now() - began) / 1000 };
console.log(JSON.stringify(outcome));
