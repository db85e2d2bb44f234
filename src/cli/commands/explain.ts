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

interface Explanation {
  readonly role: Role | null;
  readonly actions: readonly string[];
  readonly because: readonly Reason[];
  readonly limitedBy: { readonly role: Role | null; readonly repositories: readonly string[] | null } | null;
  readonly missing: readonly {
    readonly action: string;
    readonly needed: Role;
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
    lines.push(strongest === undefined ? may : `${may.padEnd(columnWidth)}because ${strongest}`);
    for (const other of others) lines.push(`${' '.repeat(columnWidth)}and because ${other}`);
  }
  if (found.limitedBy !== null) {
    lines.push(
      `${' '.repeat(columnWidth)}within the bounds of the token: ${reachText(found.limitedBy, subject)}`,
    );
  }
  for (const { action, needed, nearest } of found.missing) {
    const mayNot = `${subject} may not: ${wordsFor(action).join(', ')}`.padEnd(columnWidth);
    lines.push(
      `${mayNot}${nearest === null ? adviceText(subject, repository, needed) : nearestText(subject, nearest)}`,
    );
  }
  return lines;
}

function wordsFor(action: string): readonly string[] {
  return action === 'pull' ? ['pull', 'list'] : [action];
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

function adviceText(subject: string, repository: string, needed: Role): string {
  return `to allow it: berth access grant ${subject} ${needed} ${repository}`;
}
