// The intention that puts the rules of protection of a namespace.
import { allAdministrators, type ProtectionStore } from '../protection-store.ts';
import type { Answer, Input } from './access-steps.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';
import { makeProtectionReads } from './protection-reads.ts';
import type { SharedWrites } from './shared-writes.ts';

export const sql = {
  moveGeneration: `UPDATE instance SET value = CAST(value AS INTEGER) + 1 WHERE key = 'protection_generation'`,
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
  }

  setProtection(now: Now, { namespace, rules, origin }: Input<ProtectionStore['set']>): Outcome {
    const judged = this.#reads.judge(namespace, rules);
    if (judged.outcome !== 'set') return judged;
    const { id, exempt } = judged;
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
}
