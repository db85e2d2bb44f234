// Signing in for a browser, and what is signed in: browsers' sessions and docker's identity tokens, which both live on until
// somebody ends them.
import { type Static, Type } from 'typebox';
import type { Principal } from '../../../auth/access.ts';
import type { Credential } from '../../../storage/account-store.ts';
import type { ApiContext } from './context.ts';
import { callerOf, tooManyGuesses } from './me.ts';
import { unauthenticated } from './needs-guard.ts';
import { sortedByCreation } from './pages.ts';
import { notFound, Problem } from './problem.ts';
import { created, list, nothing, type Routes } from './route.ts';
import { listOf, name, nullable, password, strict, time, timeText, timeTextOrNull } from './schemas.ts';
import { csrfTokenOf, refuseForeignPage, sessionCookieName, setSessionCookie } from './session-cookie.ts';
import { numberOf } from './tokens.ts';
import { findUser } from './users.ts';

const kinds = ['session', 'refresh'] as const;
const sessionSchema = strict({
  id: Type.Integer(),
  kind: Type.Enum([...kinds], { description: 'session: a browser; refresh: the identity token of docker.' }),
  client: Type.String({ description: 'What the browser or client calls itself.' }),
  createdAt: time,
  expiresAt: nullable(time),
  lastUsedAt: nullable(time),
  lastUsedFrom: nullable(Type.String(), 'An address.'),
  current: Type.Boolean({ description: 'The one that asks.' }),
});

export function sessionRoutes(routes: Routes, context: ApiContext): void {
  signIn(routes, context);
  signOut(routes, context);
  listSessions(routes, context);
  signOutEverywhere(routes, context);
  endSession(routes, context);
}

function signIn(routes: Routes, context: ApiContext): void {
  const { longest } = context.config.auth.session;
  routes.declare('sessions', 'POST', '/sessions', {
    need: ['anyone'],
    summary: 'Signs a browser in: sets the session cookie.',
    description:
      'Changes that use the cookie need the header X-CSRF-Token with the csrfToken of the answer, which /me tells too.',
    body: strict({ name, password }),
    answers: { 201: strict({ name: Type.String(), expiresAt: nullable(time), csrfToken: Type.String() }) },
    whileReadOnly: true,
    handle: async ({ body, origin, request, reply, principal }) => {
      if (principal.kind === 'anonymous' && principal.everything) {
        throw new Problem('denied', 'this registry is open: nobody signs in');
      }
      refuseForeignPage(request, context);
      const cookie = sessionCookieName(request, context);
      const proof = await context.authority.credentials.signIn(body.name, body.password, callerOf(request));
      if (proof.outcome === 'throttled') throw tooManyGuesses(proof.retryAfterSeconds);
      const isRight =
        proof.outcome === 'principal' &&
        proof.principal.kind === 'user' &&
        proof.principal.proof.kind === 'password';
      if (!isRight)
        throw unauthenticated('name or password is not right; tokens sign nobody in to a browser');
      const opened = await context.authority.credentials.openSession(proof.principal, {
        label: request.headers['user-agent'] ?? '',
        origin: { ...origin, actor: proof.principal.name },
      });
      if (opened === undefined) throw unauthenticated('name or password is not right any more');
      const { secret, credential } = opened;
      setSessionCookie(reply, cookie, secret, longest);
      const session = { name: credential.subject, expiresAt: timeTextOrNull(credential.expiresAt) };
      return created(`/users/${credential.subject}/sessions/${credential.id}`, session, {
        csrfToken: csrfTokenOf(secret),
      });
    },
  });
}

function signOut(routes: Routes, context: ApiContext): void {
  const { credentials } = context.registry.metadata.accounts;
  routes.declare('sessions', 'DELETE', '/sessions/current', {
    need: ['signed-in'],
    summary: 'Signs this browser out.',
    answers: { 204: Type.Null() },
    plan: async ({ principal }) => {
      const { subject, id } = currentSession(principal);
      return { removes: [`session:${subject}/${id}`] };
    },
    handle: async ({ principal, origin, request, reply }) => {
      await credentials.remove({ ...currentSession(principal), kinds: ['session'], origin });
      setSessionCookie(reply, sessionCookieName(request, context), '', 0);
      return nothing;
    },
  });
}

function listSessions(routes: Routes, context: ApiContext): void {
  const { credentials } = context.registry.metadata.accounts;
  const { idle } = context.config.auth.session;
  routes.declare('sessions', 'GET', '/users/:user/sessions', {
    need: ['self', 'administrator'],
    summary: 'Sessions of browsers and identity tokens of docker.',
    query: strict(sortedByCreation.members),
    answers: { 200: listOf(sessionSchema) },
    handle: async ({ params, query, principal, now }) => {
      const { name: subject } = await findUser(context, params.user);
      const limit = query.limit ?? context.config.limits.pageSize;
      const page = await credentials.list(subject, { ...sortedByCreation.read(query), kinds, limit });
      const isLive = ({ kind, expiresAt, lastUsedAt, createdAt }: Credential) => {
        if (expiresAt !== undefined && expiresAt <= now) return false;
        return kind !== 'session' || (lastUsedAt ?? createdAt) + idle > now;
      };
      const used =
        'proof' in principal && 'credentialId' in principal.proof ? principal.proof.credentialId : undefined;
      const { next } = sortedByCreation.page(
        query,
        page,
        (session) => session,
        ({ id }) => id,
      );
      const items = page.items.filter(isLive).map((session) => showSession(session, used));
      return list({ items, next });
    },
  });
}

function signOutEverywhere(routes: Routes, context: ApiContext): void {
  const { credentials } = context.registry.metadata.accounts;
  routes.declare('sessions', 'DELETE', '/users/:user/sessions', {
    need: ['self', 'administrator'],
    summary: 'Signs a user out everywhere.',
    answers: { 204: Type.Null() },
    plan: async ({ params }) => {
      const { name: subject } = await findUser(context, params.user);
      const page = await credentials.list(subject, { kinds, limit: 1000 });
      return { removes: page.items.map(({ id }) => `session:${subject}/${id}`) };
    },
    handle: async ({ params, origin }) => {
      const { name: subject } = await findUser(context, params.user);
      await credentials.removeAll({ subject, kinds, origin });
      return nothing;
    },
  });
}

function endSession(routes: Routes, context: ApiContext): void {
  const { credentials } = context.registry.metadata.accounts;
  routes.declare('sessions', 'DELETE', '/users/:user/sessions/:id', {
    need: ['self', 'administrator'],
    summary: 'Ends one session.',
    answers: { 204: Type.Null() },
    current: async ({ params }) => {
      const session = await credentials.find(numberOf(params.id));
      return session?.subject === params.user && isSession(session) ? taggedSession(session) : undefined;
    },
    plan: async ({ params }) => {
      const session = await credentials.find(numberOf(params.id));
      if (session?.subject !== params.user || !isSession(session))
        throw notFound(`session ${params.id.slice(0, 20)}`);
      return { removes: [`session:${params.user}/${session.id}`] };
    },
    handle: async ({ params, origin }) => {
      const id = numberOf(params.id);
      const removed = await credentials.remove({ subject: params.user, id, kinds, origin });
      if (!removed) throw notFound(`session ${params.id.slice(0, 20)}`);
      return nothing;
    },
  });
}

/** The session that the request came with, or the not-found Problem. */
function currentSession(principal: Principal): { readonly subject: string; readonly id: number } {
  if (principal.kind !== 'user' || principal.proof.kind !== 'session')
    throw notFound('session of this request');
  return { subject: principal.name, id: principal.proof.credentialId };
}

function isSession({ kind }: Credential): boolean {
  return kind === 'session' || kind === 'refresh';
}

function showSession(session: Credential, used: number | undefined): Static<typeof sessionSchema> {
  return {
    ...taggedSession(session),
    lastUsedAt: timeTextOrNull(session.lastUsedAt),
    lastUsedFrom: session.lastUsedFrom ?? null,
    current: session.id === used,
  };
}

function taggedSession(session: Credential) {
  return {
    id: session.id,
    kind: session.kind as 'session' | 'refresh',
    client: session.label,
    createdAt: timeText(session.createdAt),
    expiresAt: timeTextOrNull(session.expiresAt),
  };
}
