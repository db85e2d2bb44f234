// The account store over SQLite: reads on the main thread, intentions to the writer thread.
import type { AccountStore, MovedRepository } from '../account-store.ts';
import type { Visibility } from '../metadata-store.ts';
import { type AccountReads, makeAccountReads } from './account-reads.ts';
import type { Connection } from './connection.ts';
import { type CredentialReads, makeCredentialReads } from './credential-reads.ts';
import { makePolicyReads, type PolicyReads } from './policy-reads.ts';
import { RememberedReads } from './remembered-reads.ts';
import type { WriterThread } from './writer-thread.ts';

type AccountWriter = Pick<WriterThread, 'run' | 'commits'>;

/** `read` as a promise, with the faults of the medium told apart. */
export type Ask = <Result>(read: () => Result) => Promise<Result>;

export function makeAccountStore(reader: Connection, writer: AccountWriter, ask: Ask): AccountStore {
  const policy = makePolicyReads(reader);
  const accounts = makeAccountReads(reader);
  const credentials = makeCredentialReads(reader);
  return {
    ...makeWhoStores(accounts, writer, ask),
    ...makeWhatStores(policy, credentials, writer, ask),
  };
}

function makeWhoStores(
  reads: AccountReads,
  writer: AccountWriter,
  ask: Ask,
): Pick<AccountStore, 'users' | 'organizations' | 'robots' | 'namespaces'> {
  return {
    users: {
      add: (options) => writer.run('addUser', options),
      find: (name) => ask(() => reads.findUser(name)),
      isLastAdministrator: (name) => ask(() => reads.isLastAdministrator(name)),
      isTaken: (name) => ask(() => reads.isTaken(name)),
      list: (options) => ask(() => reads.listUsers(options)),
      count: () => ask(() => reads.countUsers()),
      update: (options) => writer.run('updateUser', options),
      findPassword: (name) => ask(() => reads.findPassword(name)),
      setPassword: (options) => writer.run('setPassword', options),
      upgradeHash: (options) => writer.run('upgradeHash', options),
      clearPassword: (options) => writer.run('clearPassword', options),
      disable: (options) => writer.run('disableUser', options),
      enable: (options) => writer.run('enableUser', options),
      remove: (options) => writer.run('removeUser', options),
    },
    namespaces: {
      find: (name) => ask(() => reads.findNamespace(name)),
      list: (options) => ask(() => reads.listNamespaces(options)),
      update: (options) => writer.run('updateNamespace', options),
      setDefaultVisibility: (visibility) => writer.run('setDefaultVisibility', visibility),
      listRepositories: (name, limit) => ask(() => reads.listRepositoriesIn(name, limit)),
    },
    organizations: {
      add: (options) => writer.run('addOrganization', options),
      remove: (options) => writer.run('removeOrganization', options),
      restore: (options) => writer.run('restoreOrganization', options),
      listMembers: (organization, page) => ask(() => reads.listMembers(organization, page)),
      findMember: (organization, user) => ask(() => reads.findMember(organization, user)),
      setMember: (options) => writer.run('setMember', options),
      removeMember: (options) => writer.run('removeMember', options),
      addTeam: (options) => writer.run('addTeam', options),
      listTeams: (organization, page) => ask(() => reads.listTeams(organization, page)),
      findTeam: (organization, team) => ask(() => reads.findTeam(organization, team)),
      removeTeam: (options) => writer.run('removeTeam', options),
      listTeamMembers: (organization, team, page) =>
        ask(() => reads.listTeamMembers(organization, team, page)),
      addTeamMember: (options) => writer.run('addTeamMember', options),
      removeTeamMember: (options) => writer.run('removeTeamMember', options),
    },
    robots: {
      add: (options) => writer.run('addRobot', options),
      find: (name) => ask(() => reads.findRobot(name)),
      list: (namespace, page) => ask(() => reads.listRobots(namespace, page)),
      update: (options) => writer.run('updateRobot', options),
      remove: (options) => writer.run('removeRobot', options),
    },
  };
}

function makeWhatStores(
  policy: PolicyReads,
  reads: CredentialReads,
  writer: AccountWriter,
  ask: Ask,
): Pick<AccountStore, 'policy' | 'grants' | 'credentials' | 'keys'> {
  // All three are asked for at every request; that a repository did not move is remembered, too.
  const generations = new RememberedReads<number>(() => writer.commits);
  const visibilities = new RememberedReads<Visibility>(() => writer.commits);
  const moves = new RememberedReads<{ readonly moved: MovedRepository | undefined }>(() => writer.commits);
  return {
    policy: {
      generation: () => ask(() => generations.find('registry', '', policy.generation) as number),
      findSubject: (id) => ask(() => policy.findSubject(id)),
      findSubjectByName: (name) => ask(() => policy.findSubjectByName(name)),
      listCommonGrants: () => ask(() => policy.listCommonGrants()),
      findVisibility: (repository) =>
        ask(() => visibilities.find(repository, '', () => policy.findVisibility(repository))),
      findMoved: (name) => ask(() => moves.find(name, '', () => ({ moved: policy.findMoved(name) }))?.moved),
    },
    grants: {
      put: (options) => writer.run('putGrant', options),
      find: (id) => ask(() => reads.findGrant(id)),
      list: (namespace, page) => ask(() => reads.listGrants(namespace, page)),
      listOfSubject: (subject, page) => ask(() => reads.listGrantsOfSubject(subject, page)),
      remove: (options) => writer.run('removeGrant', options),
    },
    credentials: {
      add: (options) => writer.run('addCredential', { ...options, hash: ownCopy(options.hash) }),
      findByHash: (hash) => ask(() => reads.findCredentialByHash(hash)),
      find: (id) => ask(() => reads.findCredential(id)),
      list: (subject, options) => ask(() => reads.listCredentials(subject, options)),
      listNotable: (options) => ask(() => reads.listNotable(options)),
      remove: (options) => writer.run('removeCredential', options),
      removeAll: (options) => writer.run('removeCredentials', options),
      redeemCode: (options) => writer.run('redeemCode', { ...options, hash: ownCopy(options.hash) }),
      recordUses: (uses) => writer.run('recordUses', uses),
      dropExpired: (limit) => writer.run('dropExpired', limit),
    },
    keys: {
      list: () => ask(() => reads.listKeys()),
      rotate: (options) => writer.run('rotateKeys', options),
    },
  };
}

/** A message to a thread carries the whole memory that a buffer is a view of. */
const ownCopy = (bytes: Buffer): Buffer => Buffer.from(Uint8Array.from(bytes).buffer);
