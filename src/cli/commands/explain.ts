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
    /** A grant to a team that would do. */
    readonly nearest: ExplainedGrant | null;
  }[];
}

/** Where the reasons begin, unless what is before one of them is longer. */
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
  const rows: [what: string, why: string][] = [];
  const reasons = found.because.map((reason) => reasonText(subject, repository, reason));
  if (found.actions.length > 0) {
    const [strongest, ...others] = reasons;
    const may = `${subject} may: ${found.actions.flatMap(wordsFor).join(', ')}`;
    rows.push([may, strongest === undefined ? '' : `because ${strongest}`]);
    for (const other of others) rows.push(['', `and because ${other}`]);
  }
  for (const bounds of found.limitedBy) {
    rows.push(['', `within the bounds of the token in use: ${reachText(bounds, subject)}`]);
  }
  for (const missing of found.missing) {
    const words = wordsFor(missing.action).join(', ');
    rows.push([`${subject} may not: ${words}`, wayText(subject, repository, missing)]);
  }
  const width = Math.max(columnWidth, ...rows.map(([what]) => what.length + 2));
  return rows.map(([what, why]) => `${what.padEnd(width)}${why}`.trimEnd());
}

function wordsFor(action: Action): readonly string[] {
  return action === 'pull' ? ['pull', 'list'] : [action];
}

function reasonText(subject: string, repository: string, reason: Reason): string {
  switch (reason.kind) {
    case 'administrator':
      return `${subject} is an administrator`;
    case 'auditor':
      return `${subject} is an auditor`;
    case 'owner':
      return ownerText(subject, reason.namespace ?? namespaceOf(parseRepositoryName(repository)));
    case 'visibility':
      return `${repository} is ${reason.visibility}`;
    case 'grant':
      return reason.grant === undefined ? 'of a grant' : `of grant ${grantText(reason.grant)}`;
  }
}

function grantText({ subject, role, object, expiresAt }: ExplainedGrant): string {
  return `${subject} ${role} ${object}${expiresAt === null ? '' : ` until ${momentText(expiresAt)}`}`;
}

function ownerText(subject: string, namespace: string): string {
  return subject === namespace
    ? `${namespace}/ is the own namespace of ${subject}`
    : `${subject} owns ${namespace}`;
}

/** What would help with something that is missing. */
function wayText(
  subject: string,
  repository: string,
  { needed, nearest }: Explanation['missing'][number],
): string {
  if (nearest !== null) return `nearest: grant ${grantText(nearest)}  (${subject} is not in that team)`;
  if (subject === 'anonymous' && needed !== 'read')
    return 'that takes signing in: anonymous is never given more than read';
  return `to allow it: berth access grant ${subject} ${needed} ${repository}`;
}
