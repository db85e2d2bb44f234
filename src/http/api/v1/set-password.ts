// Setting a password with a one-time code, for whoever has none yet or has forgotten it.
import { Type } from 'typebox';
import { hashSecret } from '../../../auth/secrets.ts';
import type { ApiContext } from './context.ts';
import { callerOf, tooManyGuesses } from './me.ts';
import { unauthenticated } from './needs-guard.ts';
import { awaitMember } from './problem.ts';
import { nothing, type Routes } from './route.ts';
import { name, password, strict } from './schemas.ts';

export function setPasswordRoutes(
  routes: Routes,
  { registry, authority, passwordChanged }: ApiContext,
): void {
  const { credentials } = registry.metadata.accounts;
  const { passwords } = authority;

  routes.declare('me', 'PUT', '/set-password', {
    need: ['anyone'],
    summary: 'Sets a password with a one-time code.',
    description: 'A wrong code counts like a wrong password.',
    body: strict({ name, code: password, new: password }),
    answers: { 204: Type.Null() },
    handle: async ({ body, origin, request }) => {
      if (!(await authority.credentials.isCodeOf(body.name, body.code, callerOf(request)))) {
        throw await refuseCode(body, request.ip);
      }
      await awaitMember('/new', passwords.judge(body.new, body.name));
      const redeemed = await credentials.redeemCode({
        hash: hashSecret(body.code),
        name: body.name,
        passwordHash: await passwords.hash(body.new),
        origin: { ...origin, actor: body.name },
      });
      if (!redeemed) throw await refuseCode(body, request.ip);
      await passwordChanged(body.name);
      return nothing;
    },
  });

  // A guess costs what a guessed password costs, and is counted with those.
  async function refuseCode(guess: { name: string; code: string }, address: string) {
    const check = await passwords.check(guess.name, guess.code, address);
    if (check.outcome === 'throttled') return tooManyGuesses(check.retryAfterSeconds);
    return unauthenticated('this code is not good, or not any more: ask an administrator for a new one');
  }
}
