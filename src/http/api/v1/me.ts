// Who is asking: the account, by which credential, with what rights. And the change of one's own password.
import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Principal } from '../../../auth/access.ts';
import type { ApiContext } from './context.ts';
import { unauthenticated } from './needs-guard.ts';
import { awaitMember, Problem } from './problem.ts';
import { found, nothing, type Routes } from './route.ts';
import { name, nullable, password, registryRole, role, strict, time, timeTextOrNull } from './schemas.ts';
import { csrfTokenOf, sessionCookieOf } from './session-cookie.ts';

const credential = strict({
  kind: Type.Enum(['password', 'personal', 'robot', 'session', 'refresh', 'local']),
  name: nullable(Type.String(), 'Of a token.'),
  role: nullable(role, 'The most it lets its bearer do; null: no bound.'),
  repositories: nullable(Type.Array(Type.String()), 'Patterns that it is limited to; null: no bound.'),
  expiresAt: nullable(time),
});
const me = strict({
  kind: Type.Enum(['user', 'robot', 'local']),
  name,
  role: registryRole,
  guest: Type.Boolean(),
  credential,
  namespaces: Type.Array(strict({ name: Type.String(), role: nullable(role, 'On everything in it.') })),
  csrfToken: nullable(Type.String(), 'For the header X-CSRF-Token, when a session is used.'),
});

export function meRoutes(routes: Routes, context: ApiContext): void {
  const { accounts } = context.registry.metadata;
  const { passwords } = context.authority;

  routes.declare('me', 'GET', '/me', {
    need: ['signed-in'],
    summary: 'Who am I, by which credential, with which rights.',
    answers: { 200: me },
    handle: async ({ principal, rights, now, request }) => {
      const session = sessionCookieOf(request);
      const bySession = principal.kind === 'user' && principal.proof.kind === 'session';
      return found({
        kind: principal.kind,
        name: principal.name,
        role: rights.registryRole,
        guest: rights.guest,
        credential: await describeCredential(context, principal),
        namespaces: rights
          .namespaces(now)
          .map((namespace) => ({ name: namespace, role: rights.roleOnNamespace(namespace, now) ?? null })),
        csrfToken: bySession && session !== undefined ? csrfTokenOf(session) : null,
      });
    },
  });

  routes.declare('me', 'PUT', '/me/password', {
    need: ['self'],
    summary: 'Changes the own password.',
    description:
      'Ends all sessions and refresh tokens. Personal tokens stay: they have ends and removals of their own.',
    body: strict({ current: password, new: password }),
    answers: { 204: Type.Null() },
    handle: async ({ body, principal, origin, request }) => {
      const proof = await context.authority.credentials.signIn(
        principal.name,
        body.current,
        callerOf(request),
      );
      if (proof.outcome === 'throttled') throw tooManyGuesses(proof.retryAfterSeconds);
      const isRight =
        proof.outcome === 'principal' &&
        proof.principal.kind === 'user' &&
        proof.principal.proof.kind === 'password';
      if (!isRight) throw new Problem('denied', 'the current password is not right');
      await awaitMember('/new', passwords.judge(body.new, principal.name));
      const hash = await passwords.hash(body.new);
      // Hashing takes time enough for an administrator to take the old password away.
      if ((await context.authority.policy.rightsOf(proof.principal)) === undefined)
        throw new Problem('denied', 'the current password is not right any more');
      if (!(await accounts.users.setPassword({ name: principal.name, hash, origin }))) {
        throw unauthenticated('this account is gone');
      }
      await context.passwordChanged(principal.name);
      return nothing;
    },
  });
}

/** From where somebody proves who he is. */
export function callerOf(request: FastifyRequest) {
  return { address: request.ip, userAgent: request.headers['user-agent'] };
}

export function tooManyGuesses(retryAfterSeconds: number): Problem {
  const seconds = Math.max(1, Math.ceil(retryAfterSeconds));
  return new Problem('too-many-requests', `too many wrong passwords: try again in ${seconds} seconds`, {
    headers: { 'retry-after': String(seconds) },
  });
}

async function describeCredential({ authority }: ApiContext, principal: Principal) {
  const none = { name: null, role: null, repositories: null, expiresAt: null };
  if (principal.kind === 'local' || principal.kind === 'anonymous') return { kind: 'local', ...none };
  const { proof } = principal;
  const id = 'credentialId' in proof ? proof.credentialId : undefined;
  const live = id === undefined ? undefined : await authority.policy.findLive(id);
  if (live === undefined) return { kind: proof.kind, ...none };
  const { credential: row, ceiling } = live;
  const isToken = row.kind === 'personal' || row.kind === 'robot';
  return {
    kind: row.kind,
    name: isToken ? row.label : null,
    role: ceiling?.role ?? null,
    repositories: ceiling?.patterns ?? null,
    expiresAt: timeTextOrNull(row.expiresAt),
  };
}
