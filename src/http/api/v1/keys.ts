// The keys that sign access tokens.
import { Type } from 'typebox';
import type { SigningKey } from '../../../storage/account-store.ts';
import type { ApiContext } from './context.ts';
import { created, list, type Routes } from './route.ts';
import { listOf, strict, time, timeText } from './schemas.ts';

const key = strict({
  kid: Type.String({ description: 'Its RFC 7638 thumbprint.' }),
  createdAt: time,
  state: Type.Enum(['next', 'current', 'previous'], {
    description: 'current signs; previous still verifies what it signed.',
  }),
});

export function keyRoutes(routes: Routes, { registry, authority }: ApiContext): void {
  const { keys } = registry.metadata.accounts;

  routes.declare('keys', 'GET', '/keys', {
    need: ['auditor'],
    summary: 'The keys that sign and verify access tokens, newest first.',
    answers: { 200: listOf(key) },
    handle: async () => list({ items: (await keys.list()).map(show), next: undefined }),
  });

  routes.declare('keys', 'POST', '/keys', {
    need: ['administrator'],
    summary: 'Makes a new signing key now; tokens of the one before stay good until they end.',
    answers: { 201: key },
    handle: async ({ origin }) => {
      await authority.tokens.rotate(origin);
      const [current] = await keys.list();
      if (current === undefined) throw new Error('there is no key after a rotation');
      return created('/keys', show(current));
    },
  });
}

function show({ kid, createdAt, retiredAt }: SigningKey) {
  return { kid, createdAt: timeText(createdAt), state: retiredAt === undefined ? 'current' : 'previous' };
}
