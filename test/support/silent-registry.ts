// A registry that takes every request and answers none: an import from it lasts until somebody ends it.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Cleanup, onEnd } from './cleanup.ts';

/** Starts it and gives its URL; it ends with the test. */
export async function startSilentRegistry(t: Cleanup): Promise<string> {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, async () => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
