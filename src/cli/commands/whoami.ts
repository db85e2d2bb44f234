// `berth whoami`: whom the registry takes one for.
import type { Command } from 'commander';
import type { RegistryRole, Role } from '../../storage/account-store.ts';
import type { Token } from '../client/shapes.ts';
import type { CommandContext } from '../context.ts';
import { printFacts, printJson } from '../output/print.ts';
import { expiryText, reachText } from '../output/token-text.ts';
import { type Call, define } from './define.ts';

interface Me {
  readonly kind: 'user' | 'robot' | 'local';
  readonly name: string;
  readonly role: RegistryRole;
  readonly guest: boolean;
  readonly credential: Pick<Token, 'role' | 'repositories' | 'expiresAt'> & {
    readonly kind: string;
    readonly name: string | null;
  };
  readonly namespaces: readonly { readonly name: string; readonly role: Role | null }[];
}

export function addWhoami(program: Command, context: CommandContext): void {
  define(program, context, {
    usage: 'whoami',
    about: 'whom the registry takes you for, and by what',
    examples: ['whoami', 'whoami -r registry.example.com', 'whoami -q'],
    prints: 'one',
    quiet: 'the name alone',
    run: whoami,
  });
}

async function whoami({ api, options, context }: Call<unknown>): Promise<void> {
  const me = await api.get<Me>('me');
  const { door } = api;
  if (options.json) printJson(me, context);
  else if (options.quiet) context.stdout.write(`${me.name}\n`);
  else {
    const by = {
      registry: door.target.origin,
      socket: 'the socket of its server',
      folder: 'its data folder',
    };
    printFacts(
      [
        ['name', me.name],
        ['kind', me.kind],
        ['role', me.guest ? `${me.role}, guest` : me.role],
        ['signed in by', credentialText(me)],
        ['registry', `${door.host}, by ${by[door.kind]}`],
        ['credentials', door.credential?.from],
        ['namespaces', me.namespaces.map(namespaceText).join(', ') || undefined],
      ],
      context,
    );
  }
}

function credentialText({ kind, name, credential }: Me): string | undefined {
  if (kind === 'local') return undefined;
  if (credential.name === null) return credential.kind;
  return `token ${credential.name}: ${reachText(credential, name)}, ${expiryText(credential, false)}`;
}

function namespaceText({ name, role }: Me['namespaces'][number]): string {
  return role === null ? `${name} (in part)` : `${name} (${role})`;
}
