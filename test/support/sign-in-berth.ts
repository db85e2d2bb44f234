// A Berth in mode token as a process, with its administrator, for tests that drive real clients.
import assert from 'node:assert/strict';
import type { Cleanup } from './cleanup.ts';
import { type BerthOptions, type RunningBerth, startBerth } from './running-berth.ts';
import { basic, password } from './sign-in.ts';

export interface SignInBerth extends RunningBerth {
  /** A call of the management API as the administrator; fails when it is refused. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please
  manage(method: string, path: string, body?: unknown): Promise<any>;
  /** Adds users whose password is `password`. */
  addUsers(...names: readonly string[]): Promise<void>;
}

/** Starts it. Passwords cost as little as they may. */
export async function startSignInBerth(t: Cleanup, options: BerthOptions = {}): Promise<SignInBerth> {
  const berth = await startBerth(t, {
    ...options,
    environment: {
      BERTH_ACCESS_MODE: 'token',
      BERTH_ACCESS_ADMIN_PASSWORD: password,
      BERTH_AUTH_PASSWORD_BCRYPT_COST: '10',
      ...options.environment,
    },
  });
  const manage: SignInBerth['manage'] = async (method, path, body) => {
    const reply = await fetch(`${berth.url}/api/v1${path}`, {
      method,
      headers: { ...basic('admin'), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await reply.text();
    assert.ok(reply.ok, `${method} ${path}: ${reply.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  };
  return {
    ...berth,
    manage,
    async addUsers(...names) {
      for (const name of names) await manage('POST', '/users', { name, password });
    },
  };
}
