// `berth access explain`: what somebody may do with a repository, because of what, and what would be needed for the rest.
import { namespaceOf, parseRepositoryName } from '../../oci/name.ts';
import type { Role } from '../../storage/account-store.ts';
import { printJson } from '../output/print.ts';
import { momentText } from '../output/text.ts';
import { reachText } from '../output/token-text.ts';
import type { Call } from './define.ts';

interface ExplainedGrant {
  readonly subject: string;
  readonly object: string;
  readonly role: Role;
  readonly expiresAt: string | null;
}

interface Reason {
  readonly kind: 'administrator' | 'auditor' | 'owner' | 'visibility' | 'grant';
  readonly role: Role;
  readonly namespace?: string;
  readonly visibility?: 'internal' | 'public';
  readonly grant?: ExplainedGrant;
}

type Action = 'pull' | 'push' | 'delete';

export interface Explanation {
  readonly role: Role | null;
  readonly actions: readonly Action[];
  readonly because: readonly Reason[];
  /** Bounds of the credential that was used to ask about oneself. */
  readonly limitedBy: readonly {
    readonly role: Role | null;
    readonly repositories: readonly string[] | null;
  }[];
  readonly missing: readonly {
    readonly action: Action;
    readonly needed: Role;
    /** A grant to others that would do. */
    readonly nearest: ExplainedGrant | null;
  }[];
}

const columnWidth = 28;

export async function explain({ api, args, options, context }: Call<unknown>): Promise<void> {
  const [subject = '', repository = ''] = args;
  const found = await api.get<Explanation>('access', { subject, repository });
  const { stdout } = context;
  if (options.json) printJson(found, context);
  else if (options.quiet) stdout.write(`${found.role ?? 'none'}\n`);
  else for (const line of explanationLines(subject, repository, found)) stdout.write(`${line}\n`);
}

/** The explanation as sentences, what is allowed first. */
export function explanationLines(subject: string, repository: string, found: Explanation): readonly string[] {
  const lines: string[] = [];
  const [strongest, ...others] = found.because.map((reason) => reasonText(subject, repository, reason));
  if (found.actions.length > 0) {
    const may = `${subject} may: ${found.actions.flatMap(wordsFor).join(', ')}`;
    lines.push(strongest === undefined ? may : `${pad(may)}because ${strongest}`);
    for (const other of others) lines.push(`${pad('')}and because ${other}`);
  }
  for (const bounds of found.limitedBy) {
    lines.push(`${pad('')}within the bounds of the token in use: ${reachText(bounds, subject)}`);
  }
  for (const { action, needed, nearest } of found.missing) {
    const way =
      nearest === null
        ? `to allow it: berth access grant ${subject} ${needed} ${repository}`
        : nearestText(subject, nearest);
    lines.push(`${pad(`${subject} may not: ${wordsFor(action).join(', ')}`)}${way}`);
  }
  return lines;
}

function wordsFor(action: Action): readonly string[] {
  return action === 'pull' ? ['pull', 'list'] : [action];
}

function pad(text: string): string {
  return `${text.padEnd(columnWidth - 2)}  `;
}

function reasonText(subject: string, repository: string, reason: Reason): string {
  switch (reason.kind) {
    case 'administrator':
      return `${subject} is an administrator`;
    case 'auditor':
      return `${subject} is an auditor`;
    case 'owner':
      return `${subject} owns ${reason.namespace ?? namespaceOf(parseRepositoryName(repository))}`;
    case 'visibility':
      return `${repository} is ${reason.visibility}`;
    case 'grant':
      return reason.grant === undefined ? 'of a grant' : `of grant ${grantText(reason.grant)}`;
  }
}

function grantText({ subject, role, object, expiresAt }: ExplainedGrant): string {
  return `${subject} ${role} ${object}${expiresAt === null ? '' : ` until ${momentText(expiresAt)}`}`;
}

function nearestText(subject: string, grant: ExplainedGrant): string {
  const why = grant.subject.startsWith('team:') ? `  (${subject} is not in that team)` : '';
  return `nearest: grant ${grantText(grant)}${why}`;
}
