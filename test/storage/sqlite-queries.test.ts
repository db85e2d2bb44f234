// Every SQL literal of the driver finds its rows through an index. The literals are collected from the code, so that a new
// statement is tested by existing.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { prepareAll, withHiddenValues } from '../../src/storage/sqlite/connection.ts';
import { applyMigrations, readMigrations, shippedMigrations } from '../../src/storage/sqlite/migrate.ts';

const sources = fileURLToPath(new URL('../../src/storage/sqlite/', import.meta.url));

async function collectStatements(): Promise<ReadonlyMap<string, string>> {
  const statements = new Map<string, string>();
  for (const file of readdirSync(sources)) {
    const module: { sql?: Readonly<Record<string, string>> } = await import(`${sources}${file}`);
    for (const [name, literal] of Object.entries(module.sql ?? {}))
      statements.set(`${file} ${name}`, withHiddenValues(literal));
  }
  return statements;
}

test('no statement scans a table', async () => {
  const db = new Database(':memory:');
  applyMigrations(db, readMigrations(shippedMigrations), { instanceId: 'test', at: 0 });
  const statements = await collectStatements();
  assert.ok(statements.size > 60, `${statements.size} statements were found`);
  const faults: string[] = [];
  for (const [name, literal] of statements) {
    const plan = db.prepare(`EXPLAIN QUERY PLAN ${literal}`).all(...unbound(literal)) as {
      detail: string;
    }[];
    for (const { detail } of plan) {
      const scans = /^SCAN (?!json_each |CONSTANT ROW)/.test(detail);
      const sorts = /TEMP B-TREE/.test(detail);
      if (scans || sorts) faults.push(`${name}: ${detail}`);
    }
  }
  db.close();
  assert.deepEqual(faults, []);
});

test('values are hidden from the planner, so that no statement is compiled anew at each run', () => {
  const db = new Database(':memory:');
  const { sum } = prepareAll(db, { sum: "SELECT ? + ?, '?' LIMIT ?" });
  assert.equal(sum.source, "SELECT +? + +?, '?' LIMIT +?");
  assert.deepEqual(sum.raw().get(2, 3, 1), [5, '?']);
  db.close();
});

test('referrers of some types are picked in the index, without their rows', () => {
  const db = new Database(':memory:');
  applyMigrations(db, readMigrations(shippedMigrations), { instanceId: 'test', at: 0 });
  const plan = db
    .prepare(
      `EXPLAIN QUERY PLAN SELECT m.id FROM manifest m WHERE m.repository_id = 1 AND m.subject = 'x' AND m.id > 0
        AND m.artifact_type IN (SELECT value FROM json_each('[]')) ORDER BY m.id`,
    )
    .all() as { detail: string }[];
  db.close();
  assert.match(plan[0]?.detail ?? '', /USING COVERING INDEX manifest_by_subject/);
});

/** A plan does not need values. */
function unbound(literal: string): unknown[] {
  const names = literal.match(/@\w+/g);
  if (names !== null) return [Object.fromEntries(names.map((name) => [name.slice(1), null]))];
  return Array.from({ length: (literal.match(/\?/g) ?? []).length }, () => null);
}

test('an audit by any part of its filter walks the index of that part', async () => {
  const db = new Database(':memory:');
  applyMigrations(db, readMigrations(shippedMigrations), { instanceId: 'test', at: 0 });
  const statements = await collectStatements();
  const indexes = {
    Object: 'event_by_object',
    Repository: 'event_by_repository',
    Actor: 'event_by_actor',
    Action: 'event_by_action',
    Namespace: 'event_by_namespace',
    Refused: 'event_refused',
    All: 'INTEGER PRIMARY KEY',
  };
  for (const [part, index] of Object.entries(indexes)) {
    for (const step of ['walk', 'stride']) {
      const literal = statements.get(`event-reads.ts ${step}${part}`) ?? '';
      const plan = db.prepare(`EXPLAIN QUERY PLAN ${literal}`).all(...unbound(literal)) as {
        detail: string;
      }[];
      assert.match(
        plan[0]?.detail ?? '',
        new RegExp(`USING (COVERING )?(INDEX )?${index} .*<`),
        `${step} ${part}`,
      );
    }
  }
  db.close();
});
