// What tests of the account store start from: users, organizations and secrets made in one line, and what was told of them.
import { createHash } from 'node:crypto';
import type { Credential, CredentialKind, RegistryRole, User } from '../../src/storage/account-store.ts';
import type { MetadataStore, Origin, RegistryEvent } from '../../src/storage/metadata-store.ts';

/** Who runs the registry in these tests. */
export const root: Origin = {
  actor: 'root',
  address: '192.0.2.1',
  userAgent: 'berth/0.1',
  requestId: 'request-9',
};

export const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();

/** Adds a user and expects that it works. */
export async function addUser(
  { accounts }: MetadataStore,
  name: string,
  options: { readonly role?: RegistryRole; readonly guest?: boolean; readonly passwordHash?: string } = {},
): Promise<User> {
  const added = await accounts.users.add({ name, role: 'user', guest: false, origin: root, ...options });
  if (added.outcome !== 'added') throw new Error(`${name} was not added: ${added.outcome}`);
  return added.user;
}

/** Adds an organization with these owners and expects that it works. */
export async function addOrganization(
  { accounts }: MetadataStore,
  name: string,
  ...owners: readonly string[]
): Promise<void> {
  const added = await accounts.organizations.add({ name, owner: owners[0], origin: root });
  if (added.outcome !== 'added') throw new Error(`${name} was not added: ${added.outcome}`);
  for (const user of owners.slice(1))
    await accounts.organizations.setMember({ organization: name, user, role: 'owner', origin: root });
}

/** Adds a credential whose secret is its label, and expects that it works. */
export async function addCredential(
  { accounts }: MetadataStore,
  subject: string,
  kind: CredentialKind,
  label: string,
  options: { readonly parentId?: number; readonly expiresAt?: number } = {},
): Promise<Credential> {
  const hash = hashOf(label);
  const added = await accounts.credentials.add({ subject, kind, hash, label, origin: root, ...options });
  if (added.outcome !== 'added') throw new Error(`${label} was not added: ${added.outcome}`);
  return added.credential;
}

/** What was told since `after`: action and object. */
export async function toldSince({ events }: MetadataStore, after: number): Promise<string[]> {
  const { items } = await events.read({ after, limit: 100 });
  return items.map(({ kind, object }) => `${kind} ${object}`);
}

export async function lastEvent({ events }: MetadataStore): Promise<RegistryEvent | undefined> {
  const { items } = await events.audit({ filter: {}, limit: 1 });
  return items[0];
}

/** What `work` told, and whether it moved the policy generation. */
export async function effectOf(
  store: MetadataStore,
  work: () => Promise<unknown>,
): Promise<{ readonly told: readonly string[]; readonly moved: boolean }> {
  const before = (await lastEvent(store))?.seq ?? 0;
  const generation = await store.accounts.policy.generation();
  await work();
  const moved = (await store.accounts.policy.generation()) > generation;
  return { told: await toldSince(store, before), moved };
}
