// The keys that sign access tokens.
import { Type } from 'typebox';
import type { KeyState } from '../../../auth/bearer-tokens.ts';
import type { ApiContext } from './context.ts';
import { created, list, type Routes } from './route.ts';
import { listOf, strict, time, timeText } from './schemas.ts';

const key = strict({
  kid: Type.String({ description: 'Its RFC 7638 thumbprint.' }),
  createdAt: time,
  state: Type.Enum(['current', 'previous'], {
    description: 'current signs; previous still verifies what it signed.',
  }),
});

export function keyRoutes(routes: Routes, { authority }: ApiContext): void {
  const { tokens } = authority;

  routes.declare('keys', 'GET', '/keys', {
    need: ['auditor'],
    summary: 'The keys that sign and verify access tokens, newest first.',
    answers: { 200: listOf(key) },
    handle: async () => list({ items: (await tokens.listKeys()).map(show), next: undefined }),
  });

  routes.declare('keys', 'POST', '/keys', {
    need: ['administrator'],
    summary: 'Makes a new signing key now; tokens of the one before stay good until they end.',
    answers: { 201: key },
    handle: async ({ origin }) => {
      const kid = await tokens.rotate(origin);
      const current = (await tokens.listKeys()).find((one) => one.kid === kid);
      if (current === undefined) throw new Error('there is no key after a rotation');
      return created('/keys', show(current));
    },
  });
}

function show({ kid, createdAt, state }: KeyState) {
  return { kid, createdAt: timeText(createdAt), state };
}
