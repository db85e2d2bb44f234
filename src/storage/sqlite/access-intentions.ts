// Every intention of the account store by name, over one connection.
import { AccessSteps } from './access-steps.ts';
import type { Connection } from './connection.ts';
import { CredentialWrites } from './credential-writes.ts';
import { GrantWrites } from './grant-writes.ts';
import { NamespaceWrites } from './namespace-writes.ts';
import type { KeepTimes } from './now.ts';
import { OrganizationWrites } from './organization-writes.ts';
import { RepositoryMoves } from './repository-moves.ts';
import { RepositoryWrites } from './repository-writes.ts';
import { RobotWrites } from './robot-writes.ts';
import type { SharedWrites } from './shared-writes.ts';
import { UserWrites } from './user-writes.ts';

export function makeAccessIntentions(db: Connection, shared: SharedWrites, keep: KeepTimes) {
  const steps = new AccessSteps(db, shared.events);
  const namespaces = new NamespaceWrites(db, steps, keep, shared.protection);
  const users = new UserWrites(db, steps, namespaces);
  const organizations = new OrganizationWrites(db, steps, namespaces);
  const robots = new RobotWrites(db, steps);
  const repositories = new RepositoryWrites(db, steps, shared, keep);
  const moves = new RepositoryMoves(db, steps, shared, keep);
  const grants = new GrantWrites(db, steps);
  const credentials = new CredentialWrites(db, steps, users);
  return {
    addUser: users.addUser.bind(users),
    updateUser: users.updateUser.bind(users),
    setPassword: users.setPassword.bind(users),
    clearPassword: users.clearPassword.bind(users),
    upgradeHash: users.upgradeHash.bind(users),
    disableUser: users.disableUser.bind(users),
    enableUser: users.enableUser.bind(users),
    removeUser: users.removeUser.bind(users),
    updateNamespace: namespaces.updateNamespace.bind(namespaces),
    setDefaultVisibility: namespaces.setDefaultVisibility.bind(namespaces),
    addRepository: repositories.addRepository.bind(repositories),
    updateRepository: repositories.updateRepository.bind(repositories),
    removeRepository: repositories.removeRepository.bind(repositories),
    moveRepository: moves.moveRepository.bind(moves),
    restoreRepository: moves.restoreRepository.bind(moves),
    purgeDeleted: moves.purgeDeleted.bind(moves),
    removeAlias: moves.removeAlias.bind(moves),
    addOrganization: organizations.addOrganization.bind(organizations),
    removeOrganization: organizations.removeOrganization.bind(organizations),
    restoreOrganization: organizations.restoreOrganization.bind(organizations),
    setMember: organizations.setMember.bind(organizations),
    removeMember: organizations.removeMember.bind(organizations),
    addTeam: organizations.addTeam.bind(organizations),
    removeTeam: organizations.removeTeam.bind(organizations),
    addTeamMember: organizations.addTeamMember.bind(organizations),
    removeTeamMember: organizations.removeTeamMember.bind(organizations),
    addRobot: robots.addRobot.bind(robots),
    updateRobot: robots.updateRobot.bind(robots),
    removeRobot: robots.removeRobot.bind(robots),
    putGrant: grants.putGrant.bind(grants),
    removeGrant: grants.removeGrant.bind(grants),
    addCredential: credentials.addCredential.bind(credentials),
    removeCredential: credentials.removeCredential.bind(credentials),
    removeCredentials: credentials.removeCredentials.bind(credentials),
    redeemCode: credentials.redeemCode.bind(credentials),
    recordUses: credentials.recordUses.bind(credentials),
    dropExpired: credentials.dropExpired.bind(credentials),
    rotateKeys: credentials.rotateKeys.bind(credentials),
  };
}
