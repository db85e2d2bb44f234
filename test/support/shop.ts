import type { TestContext } from 'node:test';
import { type ApiClient, type ApiRegistry, startApi, testOrigin } from './api.ts';
import { pushImage } from './client.ts';

export const headersOf = ({ secret }: ApiClient) => ({ authorization: `Bearer ${secret}` });
export const tagsOf = (name: string) => `/repositories/${encodeURIComponent(name)}/-/tags`;
export const manifestsOf = (name: string) => `/repositories/${encodeURIComponent(name)}/-/manifests`;

export interface Shop extends ApiRegistry {
  push(name: string, tag: string, seed?: string): Promise<string>;
  /** Who has this role on acme/**. */
  readonly people: Readonly<Record<'read' | 'write' | 'maintain', ApiClient>>;
}

export async function startShop(t: TestContext, settings: Record<string, string> = {}): Promise<Shop> {
  const api = await startApi(t, settings);
  await api.addOrganization('acme');
  const people: Record<string, ApiClient> = {};
  for (const role of ['read', 'write', 'maintain'] as const) {
    const subject = `a-${role}`;
    people[role] = await api.addUser(subject);
    const grant = { namespace: 'acme', subject, pattern: 'acme/**', role, origin: testOrigin };
    await api.accounts.grants.put(grant);
  }
  return {
    ...api,
    people: people as Shop['people'],
    push: async (name, tag, seed = tag) =>
      (await pushImage(api.registry.url, name, tag, seed, headersOf(api.admin))).digest,
  };
}

export const namesIn = (items: readonly { name: string }[]) => items.map(({ name }) => name);
