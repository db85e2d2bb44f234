// Everything of access mode `token` over accounts in memory, as a request meets it.
import assert from 'node:assert/strict';
import bcrypt from 'bcrypt';
import type { Action, Authentication, Principal, RequestFacts } from '../../src/auth/access.ts';
import { BearerTokens } from '../../src/auth/bearer-tokens.ts';
import { Credentials } from '../../src/auth/credentials.ts';
import { grantScopes } from '../../src/auth/grant-scopes.ts';
import { Passwords } from '../../src/auth/passwords.ts';
import { Policy } from '../../src/auth/policy.ts';
import { SignIns } from '../../src/auth/sign-ins.ts';
import { tokenAccess } from '../../src/auth/token-access.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import type { CredentialKind, Role, SubjectFacts } from '../../src/storage/account-store.ts';
import { FakeAccounts, grant, ManualClock, subject } from './fake-accounts.ts';

/** The password of sam. */
export const secret = 'violin teapot marmot';
export const hash = await bcrypt.hash(secret, 4);
export const origin = { actor: 'test' };
export const caller = { address: '192.0.2.1', userAgent: 'test/1' };

function bench() {
  const clock = new ManualClock();
  const accounts = new FakeAccounts(clock);
  const policy = new Policy(accounts.store, clock, { personalNamespaces: true });
  const signIns = new SignIns(accounts.events, clock);
  const passwords = new Passwords({
    users: accounts.store.users,
    settings: { minimumLength: 12, refuseCommon: true, bcryptCost: 4 },
    throttle: { failuresPerAccount: 10, failuresPerAddress: 100, window: 900, exemptAddresses: [] },
    clock,
    sleep: async () => undefined,
    onFailure: (error) => assert.fail(String(error)),
  });
  const tokens = new BearerTokens(accounts.store.keys, clock, {
    issuer: 'berth',
    service: 'berth',
    lifetime: 900,
    clockSkew: 60,
    keyRotation: Number.POSITIVE_INFINITY,
  });
  const credentials = new Credentials({
    accounts: accounts.store,
    policy,
    passwords,
    signIns,
    clock,
    settings: { refreshLifetime: 90 * 86_400, session: { idle: 8 * 3600, longest: 7 * 86_400 } },
  });
  const access = tokenAccess({ policy, credentials, tokens, clock });
  return { clock, accounts, policy, signIns, passwords, tokens, credentials, access };
}

/** Renewed before each test. */
export let on: ReturnType<typeof bench>;
export let sam: SubjectFacts;

/** Begins anew: sam with two grants, the robot acme+ci, and a repository of each visibility. */
export function renew(): void {
  on = bench();
  sam = on.accounts.put(
    subject('sam', { grants: [grant('sam', 'read', 'acme/web'), grant('sam', 'write', 'acme/api')] }),
  );
  on.accounts.put(subject('acme+ci', { grants: [grant('acme+ci', 'write', 'acme/web/**')] }));
  on.accounts.passwords.set('sam', { subjectId: sam.id, hash, generation: 1, disabled: false });
  on.accounts.visibilities
    .set('pub/x', 'public')
    .set('int/x', 'internal')
    .set('joe/secret', 'private')
    .set('acme/web', 'private');
}

export function request(more: Partial<RequestFacts> = {}): Promise<Authentication> {
  return on.access.authenticate({
    remoteAddress: '192.0.2.1',
    clientAddress: '192.0.2.1',
    host: 'r.example',
    forwarded: false,
    crossSite: false,
    userAgent: 'test/1',
    authorization: undefined,
    sessionCookie: undefined,
    localUser: undefined,
    ...more,
  });
}

export const basic = (name: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
});
export const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

export async function principal(more: Partial<RequestFacts> = {}): Promise<Principal> {
  const result = await request(more);
  assert.equal(result.outcome, 'principal', JSON.stringify(result));
  return result.outcome === 'principal' ? result.principal : assert.fail();
}

export async function invalid(more: Partial<RequestFacts>): Promise<string> {
  const result = await request(more);
  assert.equal(result.outcome, 'invalid', JSON.stringify(result));
  return result.outcome === 'invalid' ? result.reason : assert.fail();
}

export async function outcome(who: Principal, action: Action, repository?: string): Promise<string> {
  return (await on.access.decide(who, action, repository as RepositoryName)).outcome;
}

export async function reason(who: Principal, action: Action, repository: string): Promise<string> {
  const decision = await on.access.decide(who, action, repository as RepositoryName);
  return 'reason' in decision ? decision.reason : assert.fail(decision.outcome);
}

/** A token as /token gives it for `asked`. */
export async function tokenFor(who: Principal, ...asked: string[]): Promise<string> {
  const rights = await on.policy.rightsOf(who);
  assert.ok(rights);
  const granted = await grantScopes({
    asked,
    rights,
    findMoved: (name) => on.policy.findMoved(name),
    findVisibility: (name) => on.policy.findVisibility(name),
    now: on.clock.unix,
  });
  if (who.kind !== 'user' && who.kind !== 'robot') {
    return (
      await on.tokens.issue(
        { name: '', subjectId: 0, credentialId: undefined, passwordGeneration: undefined },
        granted,
      )
    ).token;
  }
  const { proof, name, subjectId } = who;
  const credentialId = 'credentialId' in proof ? proof.credentialId : undefined;
  const passwordGeneration = proof.kind === 'password' ? proof.passwordGeneration : undefined;
  return (await on.tokens.issue({ name, subjectId, credentialId, passwordGeneration }, granted)).token;
}

export async function makeToken(
  name: string,
  kind: CredentialKind,
  more: { role?: Role; patterns?: readonly string[]; expiresAt?: number } = {},
): Promise<{ secret: string; id: number }> {
  const made = await on.credentials.create({ subject: name, kind, label: 'test', origin, ...more });
  assert.equal(made.outcome, 'added');
  return made.outcome === 'added' ? { secret: made.secret, id: made.credential.id } : assert.fail();
}
