// Whether rules of protection allow a change of a tag, over either connection: the writer judges with it inside the
// transaction, the reader tells beforehand. Rules are compiled once a namespace and kept until `protection_generation` moves.
import type { Digest } from '../../oci/digest.ts';
import { namespaceOf, type RepositoryName } from '../../oci/name.ts';
import { matchesPattern } from '../../oci/name-pattern.ts';
import type { Tag } from '../../oci/reference.ts';
import { compileTagGlob, type TagGlob } from '../../oci/tag-glob.ts';
import {
  type HeldRule,
  type ProtectionKind,
  registryRules,
  TagProtectedError,
  type TagProtection,
} from '../protection-store.ts';
import type { Origin } from '../terms.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';

export const sql = {
  generation: `SELECT value FROM instance WHERE key = 'protection_generation'`,
  rulesOf: `SELECT n.id, p.position, p.repositories, p.tags, p.rule, p.exempts_administrators,
      EXISTS (SELECT 1 FROM protection_exempt e WHERE e.namespace_id = n.id AND e.position = p.position)
    FROM namespace n JOIN protection_rule p ON p.namespace_id = n.id WHERE n.name = ? ORDER BY p.position`,
  isExempt: `SELECT EXISTS (SELECT 1 FROM protection_exempt e JOIN subject s ON s.id = e.subject_id
    WHERE e.namespace_id = ? AND e.position = ? AND (s.name = ? OR EXISTS (
      SELECT 1 FROM team_member m JOIN subject u ON u.id = m.subject_id WHERE m.team_id = s.id AND u.name = ?)))`,
  isAdministrator: `SELECT EXISTS (SELECT 1 FROM subject WHERE name = ? AND kind = 'user' AND role = 'administrator'
    AND disabled_at IS NULL AND removed_at IS NULL)`,
  tagsFrom: 'SELECT name FROM tag WHERE repository_id = ? AND name >= ? AND name < ? ORDER BY name LIMIT ?',
  tagsOfManifest: `SELECT t.name FROM manifest m JOIN tag t ON t.manifest_id = m.id
    WHERE m.repository_id = ? AND m.digest = ? AND t.repository_id = m.repository_id AND t.name > ? ORDER BY t.name LIMIT ?`,
  repositoryId: `SELECT id FROM repository WHERE name = ? AND state <> 'deleted'`,
} as const;

interface CompiledRule extends HeldRule {
  readonly namespaceId: number;
  readonly position: number;
  readonly glob: TagGlob;
  readonly exemptsAdministrators: boolean;
  readonly exemptsOthers: boolean;
}

type RuleRow = [number, number, string, string, ProtectionKind, number, number];

export interface ProtectedPlace {
  readonly id: number;
  readonly name: RepositoryName;
}

/** What is done by the registry itself, which no rule exempts, whatever names people have. */
const ownActors: ReadonlySet<string> = new Set(['import', 'retention', 'system']);
/** Of the management socket: whoever may open it is administrator. */
const localActor = /^local:/;
const mostCompiled = 1000;
const pageOfTags = 1000;
/** After every character of a tag. */
const afterAll = '\u007f';

const forbids: Readonly<Record<'move' | 'delete', readonly ProtectionKind[]>> = {
  move: ['immutable', 'create-only'],
  delete: ['immutable', 'no-delete'],
};

const acts = ['move', 'delete'] as const;

const pluckedStatements = [
  'generation',
  'isExempt',
  'isAdministrator',
  'tagsFrom',
  'tagsOfManifest',
  'repositoryId',
] as const;

/** The rules over one connection. */
export class ProtectionChecks {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #compiled = new Map<string, readonly CompiledRule[]>();
  #generation: unknown;

  constructor(db: Connection) {
    this.#statements = prepareAll(db, sql);
    this.#statements.rulesOf.raw();
    for (const key of pluckedStatements) this.#statements[key].pluck();
  }

  /** Throws TagProtectedError where a rule keeps the tag from being moved or deleted. */
  admit(change: {
    readonly act: TagProtection['act'];
    readonly repository: RepositoryName;
    readonly tag: Tag;
    readonly origin: Origin;
    readonly digest?: Digest | undefined;
  }): void {
    const found = this.find(change);
    if (found !== undefined) throw new TagProtectedError(found);
  }

  /** What `admit` would throw. */
  find(change: Parameters<ProtectionChecks['admit']>[0]): TagProtection | undefined {
    const { act, repository, tag, origin, digest } = change;
    const kinds = forbids[act === 'move' ? 'move' : 'delete'];
    const held = this.#rulesFor(repository).find(
      (rule) => kinds.includes(rule.rule) && rule.glob.matches(tag) && !this.#exempts(rule, origin),
    );
    return held && { act, repository, tag, held: shown(held), digest };
  }

  /** Throws TagProtectedError where a tag keeps the repository from being deleted. */
  admitRepositoryRemoval(repository: ProtectedPlace, origin: Origin): void {
    const found = this.findProtectedTag(repository, origin);
    if (found !== undefined) throw new TagProtectedError(found);
  }

  /** The first tag that keeps the repository from being deleted. */
  findProtectedTag({ id, name }: ProtectedPlace, origin: Origin): TagProtection | undefined {
    for (const rule of this.#rulesFor(name)) {
      if (!forbids.delete.includes(rule.rule) || this.#exempts(rule, origin)) continue;
      const tag = this.#firstTag(id, rule.glob);
      if (tag !== undefined) return { act: 'delete repository', repository: name, tag, held: shown(rule) };
    }
    return undefined;
  }

  findProtected(repository: RepositoryName, origin: Origin): TagProtection | undefined {
    const id = this.#statements.repositoryId.get(repository) as number | undefined;
    return id === undefined ? undefined : this.findProtectedTag({ id, name: repository }, origin);
  }

  /** Throws TagProtectedError where a tag would not be protected any more under the other name: a move is no way around. */
  admitRepositoryMove(repository: ProtectedPlace, to: RepositoryName, origin: Origin): void {
    const found = this.#findUnprotected(repository, to, origin);
    if (found !== undefined) throw new TagProtectedError(found);
  }

  findProtectedMove(from: RepositoryName, to: RepositoryName, origin: Origin): TagProtection | undefined {
    const id = this.#statements.repositoryId.get(from) as number | undefined;
    return id === undefined ? undefined : this.#findUnprotected({ id, name: from }, to, origin);
  }

  // Rules on exactly the name go along (rule-moves.ts).
  #findUnprotected(
    { id, name }: ProtectedPlace,
    to: RepositoryName,
    origin: Origin,
  ): TagProtection | undefined {
    const before = this.#rulesFor(name);
    const exact = before.filter(({ repositories }) => repositories === name);
    const after = [...this.#rulesFor(to), ...exact];
    for (const rule of before) {
      if (after.includes(rule) || this.#exempts(rule, origin)) continue;
      const held = (tag: Tag): boolean =>
        acts.every(
          (act) =>
            !forbids[act].includes(rule.rule) ||
            after.some((other) => forbids[act].includes(other.rule) && other.glob.matches(tag)),
        );
      const { prefix, matches } = rule.glob;
      const tag = this.#firstTag(id, { prefix, matches: (each) => matches(each) && !held(each as Tag) });
      if (tag !== undefined) return { act: 'move repository', repository: name, tag, held: shown(rule) };
    }
    return undefined;
  }

  /** The first tag that keeps a manifest from being deleted. */
  findProtectedManifest(
    repository: RepositoryName,
    digest: Digest,
    origin: Origin,
  ): TagProtection | undefined {
    const id = this.#statements.repositoryId.get(repository) as number | undefined;
    if (id === undefined || !this.#rulesFor(repository).some(({ rule }) => forbids.delete.includes(rule)))
      return undefined;
    for (let after = ''; ; ) {
      const tags = this.#statements.tagsOfManifest.all(id, digest, after, pageOfTags) as Tag[];
      for (const tag of tags) {
        const found = this.find({ act: 'delete manifest', repository, tag, origin, digest });
        if (found !== undefined) return found;
      }
      if (tags.length < pageOfTags) return undefined;
      after = tags.at(-1) ?? '';
    }
  }

  /** Whether anything in the namespace may be kept from being deleted: else nobody has to look at its tags. */
  guardsNamespace(namespace: string): boolean {
    const rules = [...this.#rulesIn(namespace), ...this.#rulesIn(registryRules)];
    return rules.some(({ rule }) => forbids.delete.includes(rule));
  }

  /** What tells which rule holds for a tag: `immutable` first, as it is the strictest. With `act`: of those against it. */
  heldBy(repository: RepositoryName, act?: 'move' | 'delete'): (tag: Tag) => HeldRule | undefined {
    const rules = this.#rulesFor(repository).filter(
      ({ rule }) => act === undefined || forbids[act].includes(rule),
    );
    const strictest = [
      ...rules.filter(({ rule }) => rule === 'immutable'),
      ...rules.filter(({ rule }) => rule !== 'immutable'),
    ];
    return (tag) => {
      const held = strictest.find(({ glob }) => glob.matches(tag));
      return held && shown(held);
    };
  }

  /** What was compiled is void: rules change in this transaction. */
  forget(): void {
    this.#compiled.clear();
  }

  /** The rules of its namespace and of the registry that are for this repository. */
  #rulesFor(repository: RepositoryName): readonly CompiledRule[] {
    const rules = [...this.#rulesIn(namespaceOf(repository)), ...this.#rulesIn(registryRules)];
    return rules.filter(({ repositories }) => matchesPattern(repositories, repository));
  }

  #rulesIn(namespace: string): readonly CompiledRule[] {
    // Read each time, so that a group that was taken back takes what was compiled in it along.
    const generation = this.#statements.generation.get();
    if (generation !== this.#generation || this.#compiled.size >= mostCompiled) {
      this.#compiled.clear();
      this.#generation = generation;
    }
    let rules = this.#compiled.get(namespace);
    if (rules === undefined) {
      rules = (this.#statements.rulesOf.all(namespace) as RuleRow[]).map((row) => compile(namespace, row));
      this.#compiled.set(namespace, rules);
    }
    return rules;
  }

  #exempts(rule: CompiledRule, { actor }: Origin): boolean {
    if (ownActors.has(actor)) return false;
    if (rule.exemptsAdministrators) {
      if (localActor.test(actor) || this.#statements.isAdministrator.get(actor) === 1) return true;
    }
    const { namespaceId, position } = rule;
    return rule.exemptsOthers && this.#statements.isExempt.get(namespaceId, position, actor, actor) === 1;
  }

  #firstTag(repositoryId: number, { prefix, matches }: Pick<TagGlob, 'prefix' | 'matches'>): Tag | undefined {
    const end = prefix + afterAll;
    for (let from: string = prefix; ; ) {
      const tags = this.#statements.tagsFrom.all(repositoryId, from, end, pageOfTags) as Tag[];
      const found = tags.find(matches);
      if (found !== undefined || tags.length < pageOfTags) return found;
      from = `${tags.at(-1)}\u0000`;
    }
  }
}

function compile(namespace: string, row: RuleRow): CompiledRule {
  const [namespaceId, position, repositories, tags, rule, administrators, others] = row;
  const everything = repositories === '**' && namespace !== registryRules;
  return {
    namespace,
    namespaceId,
    position,
    // `**` is everything in the namespace, and its rules are asked about nothing else.
    repositories: everything ? `${namespace}/**` : repositories,
    tags,
    rule,
    glob: compileTagGlob(tags),
    exemptsAdministrators: administrators === 1,
    exemptsOthers: others === 1,
  };
}

function shown({ rule, tags, repositories, namespace }: CompiledRule): HeldRule {
  return { rule, tags, repositories, namespace };
}
