// What becomes of rules when a repository gets another name: those that name exactly it go along, in the transaction of the move.
import type { RepositoryName } from '../../oci/name.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { ProtectionChecks } from './protection-checks.ts';

export const sql = {
  exactRules: 'SELECT position FROM protection_rule WHERE namespace_id = ? AND repositories = ?',
  renameRules: 'UPDATE protection_rule SET repositories = ? WHERE namespace_id = ? AND repositories = ?',
  lastPosition: 'SELECT coalesce(max(position), -1) FROM protection_rule WHERE namespace_id = ?',
  copyRule: `INSERT INTO protection_rule (namespace_id, position, repositories, tags, rule, exempts_administrators)
    SELECT ?, ?, ?, tags, rule, exempts_administrators FROM protection_rule WHERE namespace_id = ? AND position = ?`,
  moveExempt: `UPDATE protection_exempt SET namespace_id = ?, position = ? WHERE namespace_id = ? AND position = ?`,
  dropRule: 'DELETE FROM protection_rule WHERE namespace_id = ? AND position = ?',
  moveGeneration: `UPDATE instance SET value = CAST(value AS INTEGER) + 1 WHERE key = 'protection_generation'`,
  retention: 'SELECT rules FROM retention_rules WHERE namespace_id = ?',
  setRetention: 'UPDATE retention_rules SET rules = ? WHERE namespace_id = ?',
} as const;

interface Place {
  readonly namespaceId: number;
  readonly name: RepositoryName;
}

export class RuleMoves {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #protection: ProtectionChecks;

  constructor(db: Connection, protection: ProtectionChecks) {
    this.#protection = protection;
    this.#statements = prepareAll(db, sql);
    for (const key of ['exactRules', 'lastPosition', 'retention'] as const) this.#statements[key].pluck();
  }

  /**
   * Protection on exactly the old name holds for the new one, in another namespace behind the rules that are there. A retention
   * policy that names it gets the new name within the namespace; elsewhere the rules of that namespace hold.
   */
  follow(from: Place, to: Place): void {
    if (from.namespaceId === to.namespaceId) {
      this.#statements.renameRules.run(to.name, from.namespaceId, from.name);
      this.#renameRetained(from, to);
    } else {
      for (const position of this.#statements.exactRules.all(from.namespaceId, from.name) as number[])
        this.#moveRule(from, position, to);
    }
    this.#statements.moveGeneration.run();
    this.#protection.forget();
  }

  #moveRule(from: Place, position: number, to: Place): void {
    const next = (this.#statements.lastPosition.get(to.namespaceId) as number) + 1;
    this.#statements.copyRule.run(to.namespaceId, next, to.name, from.namespaceId, position);
    this.#statements.moveExempt.run(to.namespaceId, next, from.namespaceId, position);
    this.#statements.dropRule.run(from.namespaceId, position);
  }

  #renameRetained(from: Place, to: Place): void {
    const text = this.#statements.retention.get(from.namespaceId) as string | undefined;
    if (text === undefined) return;
    const renamed = JSON.stringify(JSON.parse(text), (key, value: unknown) =>
      key === 'repositories' && Array.isArray(value)
        ? value.map((pattern: unknown) => (pattern === from.name ? to.name : pattern))
        : value,
    );
    if (renamed !== text) this.#statements.setRetention.run(renamed, from.namespaceId);
  }
}
