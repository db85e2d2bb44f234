// The intention that puts the rules of protection of a namespace.
import { allAdministrators, type ProtectionRule, type ProtectionStore } from '../protection-store.ts';
import type { Answer, Input } from './access-steps.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';
import { makeProtectionReads } from './protection-reads.ts';
import type { SharedWrites } from './shared-writes.ts';

export const sql = {
  moveGeneration: `UPDATE instance SET value = CAST(value AS INTEGER) + 1 WHERE key = 'protection_generation'`,
  subjectId: `SELECT id FROM subject WHERE name = ? AND kind = ? AND removed_at IS NULL`,
  dropRules: 'DELETE FROM protection_rule WHERE namespace_id = ?',
  addRule: `INSERT INTO protection_rule (namespace_id, position, repositories, tags, rule, exempts_administrators)
    VALUES (?, ?, ?, ?, ?, ?)`,
  addExempt: `INSERT INTO protection_exempt (namespace_id, position, subject_id) VALUES (?, ?, ?)
    ON CONFLICT DO NOTHING`,
} as const;

type Outcome = Answer<ProtectionStore['set']>;

export class ProtectionWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;
  readonly #reads: ReturnType<typeof makeProtectionReads>;

  constructor(db: Connection, shared: SharedWrites) {
    this.#shared = shared;
    this.#reads = makeProtectionReads(db);
    this.#statements = prepareAll(db, sql);
    this.#statements.subjectId.pluck();
  }

  setProtection(now: Now, { namespace, rules, origin }: Input<ProtectionStore['set']>): Outcome {
    const id = this.#reads.namespaceId(namespace);
    if (id === undefined) return { outcome: 'unknown-namespace' };
    const exempt: (readonly number[])[] = [];
    for (const rule of rules) {
      const found = this.#subjectsOf(rule);
      if (typeof found === 'string') return { outcome: 'unknown-subject', subject: found };
      exempt.push(found);
    }
    const before = this.#reads.rulesOf(id);
    this.#statements.dropRules.run(id);
    for (const [position, { repositories, tags, rule, exempt: names }] of rules.entries()) {
      const administrators = names.includes(allAdministrators) ? 1 : 0;
      this.#statements.addRule.run(id, position, repositories, tags, rule, administrators);
      for (const subject of exempt[position] ?? []) this.#statements.addExempt.run(id, position, subject);
    }
    this.#statements.moveGeneration.run();
    this.#shared.protection.forget();
    this.#shared.events.addChange(now, origin, {
      action: 'rule.set',
      object: `protection:${namespace}`,
      namespace,
      before: { rules: before },
      after: { rules },
    });
    return { outcome: 'set' };
  }

  /** The ids of whom a rule exempts, or the one who is not there. */
  #subjectsOf({ exempt }: ProtectionRule): readonly number[] | string {
    const ids: number[] = [];
    for (const name of exempt) {
      if (name === allAdministrators) continue;
      const kind = name.startsWith('team:') ? 'team' : name.includes('+') ? 'robot' : 'user';
      const id = this.#statements.subjectId.get(name.replace(/^team:/, ''), kind) as number | undefined;
      if (id === undefined) return name;
      ids.push(id);
    }
    return ids;
  }
}
