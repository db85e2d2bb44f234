// The rules of protection as people wrote them, over either connection.
import { allAdministrators, type ProtectionKind, type ProtectionRule } from '../protection-store.ts';
import { type Connection, prepareAll } from './connection.ts';

export const sql = {
  namespaceId: 'SELECT id FROM namespace WHERE name = ? AND removed_at IS NULL',
  rules: `SELECT position, repositories, tags, rule, exempts_administrators FROM protection_rule
    WHERE namespace_id = ? ORDER BY position`,
  exempt: `SELECT s.kind, s.name FROM protection_exempt e JOIN subject s ON s.id = e.subject_id
    WHERE e.namespace_id = ? AND e.position = ? AND s.removed_at IS NULL ORDER BY e.subject_id`,
  subjectId: `SELECT id FROM subject WHERE name = ? AND kind = ? AND removed_at IS NULL`,
} as const;

type Judged =
  | { readonly outcome: 'set'; readonly id: number; readonly exempt: readonly (readonly number[])[] }
  | { readonly outcome: 'unknown-namespace' }
  | { readonly outcome: 'unknown-subject'; readonly subject: string };

export function makeProtectionReads(db: Connection) {
  const statements = prepareAll(db, sql);
  const namespaceId = statements.namespaceId.pluck();
  const rules = statements.rules.raw();
  const exempt = statements.exempt.raw();
  const subjectId = statements.subjectId.pluck();
  /** The ids of whom a rule exempts, or the one who is not there. */
  const subjectsOf = ({ exempt: names }: ProtectionRule): readonly number[] | string => {
    const ids: number[] = [];
    for (const name of names) {
      if (name === allAdministrators) continue;
      const kind = name.startsWith('team:') ? 'team' : name.includes('+') ? 'robot' : 'user';
      const id = subjectId.get(name.replace(/^team:/, ''), kind) as number | undefined;
      if (id === undefined) return name;
      ids.push(id);
    }
    return ids;
  };
  const rulesOf = (id: number): readonly ProtectionRule[] =>
    (rules.all(id) as [number, string, string, ProtectionKind, number][]).map((row) => {
      const [position, repositories, tags, rule, administrators] = row;
      const subjects = exempt.all(id, position) as [string, string][];
      const names = subjects.map(([kind, name]) => (kind === 'team' ? `team:${name}` : name));
      return {
        repositories,
        tags,
        rule,
        exempt: administrators === 1 ? [allAdministrators, ...names] : names,
      };
    });
  return {
    /** undefined: there is none, or it was removed. */
    namespaceId: (name: string) => namespaceId.get(name) as number | undefined,
    rulesOf,
    /** Whether rules can be set, and then the ids of whom each exempts. */
    judge(namespace: string, rules: readonly ProtectionRule[]): Judged {
      const id = this.namespaceId(namespace);
      if (id === undefined) return { outcome: 'unknown-namespace' };
      const found: (readonly number[])[] = [];
      for (const rule of rules) {
        const subjects = subjectsOf(rule);
        if (typeof subjects === 'string') return { outcome: 'unknown-subject', subject: subjects };
        found.push(subjects);
      }
      return { outcome: 'set', id, exempt: found };
    },
    listRules(namespace: string): readonly ProtectionRule[] | undefined {
      const id = this.namespaceId(namespace);
      return id === undefined ? undefined : rulesOf(id);
    },
  };
}
