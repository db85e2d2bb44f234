// `berth access explain`: what somebody may do with a repository, because of what, and what would be needed for the rest.
import { includesRole } from '../../auth/roles.ts';
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
  readonly expiresAt?: string | null;
}

interface Reason {
  readonly kind: 'administrator' | 'auditor' | 'owner' | 'visibility' | 'grant';
  readonly role: Role;
  readonly namespace?: string;
  readonly visibility?: 'internal' | 'public';
  readonly grant?: ExplainedGrant;
}

export interface Explanation {
  readonly role: Role | null;
  readonly actions: readonly string[];
  readonly because: readonly Reason[];
  /** Bounds of the credential that was used to ask about oneself. */
  readonly limitedBy: readonly {
    readonly role: Role | null;
    readonly repositories: readonly string[] | null;
  }[];
  /** Grants to others that would give more, the lowest roles first. */
  readonly nearest: readonly ExplainedGrant[];
}

/** What each role adds. */
const actionsOf = [
  ['read', ['pull', 'list']],
  ['write', ['push']],
  ['maintain', ['delete']],
] as const satisfies readonly (readonly [Role, readonly string[]])[];

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
    const may = `${subject} may: ${found.actions.join(', ')}`;
    lines.push(strongest === undefined ? may : `${pad(may)}because ${strongest}`);
    for (const other of others) lines.push(`${pad('')}and because ${other}`);
  }
  for (const bounds of found.limitedBy) {
    lines.push(`${pad('')}within the bounds of the token in use: ${reachText(bounds, subject)}`);
  }
  for (const [needed, actions] of actionsOf) {
    if (includesRole(found.role ?? undefined, needed)) continue;
    const nearest = found.nearest.find(({ role }) => includesRole(role, needed));
    const way =
      nearest === undefined
        ? `to allow it: berth access grant ${subject} ${needed} ${repository}`
        : nearestText(subject, nearest);
    lines.push(`${pad(`${subject} may not: ${actions.join(', ')}`)}${way}`);
  }
  return lines;
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
  return `${subject} ${role} ${object}${expiresAt == null ? '' : ` until ${momentText(expiresAt)}`}`;
}

function nearestText(subject: string, grant: ExplainedGrant): string {
  const why = grant.subject.startsWith('team:') ? `  (${subject} is not in that team)` : '';
  return `nearest: grant ${grantText(grant)}${why}`;
}
