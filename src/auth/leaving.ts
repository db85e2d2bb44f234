// What stops working and what stays when a user is disabled or removed, for whoever does it.
import type { AccountStore, CredentialKind } from '../storage/account-store.ts';
import type { EventStore } from '../storage/metadata-store.ts';

export interface Leaving {
  /** Signs in by password. */
  readonly password: boolean;
  readonly tokens: number;
  /** Of browsers. */
  readonly sessions: number;
  /** Identity tokens of docker. */
  readonly refreshTokens: number;
  /** Robots that the user made, as the audit log tells. */
  readonly robots: readonly string[];
  /** The user's own namespace, where there is one. */
  readonly namespace: string | undefined;
  readonly repositories: number;
  readonly onlyOwnerOf: readonly string[];
}

const pageSize = 1000;
const mostRobots = 100;

/** undefined: no such user. Reads only. */
export async function describeLeaving(
  accounts: AccountStore,
  events: EventStore,
  name: string,
): Promise<Leaving | undefined> {
  const user = await accounts.users.find(name);
  if (user === undefined) return undefined;
  const namespace = await accounts.namespaces.find(name);
  const count = (kind: CredentialKind) => countCredentials(accounts, name, kind);
  return {
    password: user.hasPassword,
    tokens: await count('personal'),
    sessions: await count('session'),
    refreshTokens: await count('refresh'),
    robots: await robotsMadeBy(accounts, events, name),
    namespace: namespace?.kind === 'user' ? namespace.name : undefined,
    repositories: namespace?.kind === 'user' ? namespace.repositories : 0,
    onlyOwnerOf: await onlyOwnerOf(accounts, name),
  };
}

async function countCredentials(
  { credentials }: AccountStore,
  subject: string,
  kind: CredentialKind,
): Promise<number> {
  let count = 0;
  let after: number | undefined;
  for (;;) {
    const page = await credentials.list(subject, { kinds: [kind], after, limit: pageSize });
    count += page.items.length;
    after = page.items.at(-1)?.id;
    if (!page.more) return count;
  }
}

/** Robots that a user made and that are still there, at most a hundred; older than the audit log: not known. */
export async function robotsMadeBy(
  { robots }: AccountStore,
  events: EventStore,
  name: string,
): Promise<readonly string[]> {
  const page = await events.audit({ filter: { actor: name, action: 'robot.add' }, limit: mostRobots });
  const names = page.items.map(({ object }) => object?.replace(/^robot:/, '') ?? '');
  const there: string[] = [];
  for (const robot of new Set(names)) if ((await robots.find(robot)) !== undefined) there.push(robot);
  return there.sort();
}

async function onlyOwnerOf(
  { policy, organizations }: AccountStore,
  name: string,
): Promise<readonly string[]> {
  const facts = await policy.findSubjectByName(name);
  const owned = (facts?.organizations ?? []).filter(({ role }) => role === 'owner').map((one) => one.name);
  const alone: string[] = [];
  for (const organization of owned) {
    if (!(await hasOtherOwner(organizations, organization, name))) alone.push(organization);
  }
  return alone;
}

async function hasOtherOwner(
  organizations: AccountStore['organizations'],
  organization: string,
  name: string,
): Promise<boolean> {
  let after: string | undefined;
  for (;;) {
    const page = await organizations.listMembers(organization, { after, limit: pageSize });
    if (page.items.some((member) => member.role === 'owner' && member.name !== name)) return true;
    if (!page.more) return false;
    after = page.items.at(-1)?.name;
  }
}
