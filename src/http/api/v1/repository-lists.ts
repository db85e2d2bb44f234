// The list of repositories: what the caller may see of them, by namespace, words, labels, digest and visibility. A page costs a
// bounded number of rows, however many repositories there are and however few of them the caller may see.
import { setImmediate as turn } from 'node:timers/promises';
import { type Static, Type } from 'typebox';
import { type Digest, parseDigest } from '../../../oci/digest.ts';
import type { RecentBy, RepositoryRecord } from '../../../storage/metadata-store.ts';
import { type Budget, liesWithin, rangesOf, sees, type Viewer, walkByName } from '../../repository-walk.ts';
import type { ApiContext } from './context.ts';
import { type CursorKey, type ListPage, Sorting, wrongCursor } from './pages.ts';
import { invalidMember, parseMember } from './problem.ts';
import { showSummary, summarySchema } from './repository-shapes.ts';
import { type Call, list, type Routes } from './route.ts';
import { listOf, nullable, strict, time, timeText, timeTextOrNull, visibility } from './schemas.ts';
import { CursorSeal } from './sealed-cursors.ts';

/** By use: the time and the id of a repository, of which many may have no time. */
const sorting = new Sorting({ name: 'string', pushedAt: 'string', pulledAt: 'string' });
/** Rows that one page may read. Where they do not fill it, it is short and `next` tells where it goes on. */
const rowsOfPage = 5000;
/** So many rows are sorted where no index has their order. */
const rowsToSort = 2000;
/** A label or digest that so few repositories have is gone through from its own side. */
const fewRows = 1000;
const mostLabels = 8;
const placesAtOnce = 20;

const listQuery = strict({
  ...sorting.members,
  namespace: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
  q: Type.Optional(
    Type.String({ maxLength: 255, description: 'In name or description, whatever its case.' }),
  ),
  label: Type.Optional(
    Type.Union([Type.String(), Type.Array(Type.String(), { maxItems: mostLabels })], {
      description: 'key=value; repeated: all of them.',
    }),
  ),
  digest: Type.Optional(
    Type.String({ maxLength: 200, description: 'Of a manifest or blob: where it lives, under which tags.' }),
  ),
  visibility: Type.Optional(visibility),
});
type ListQuery = Static<typeof listQuery>;

const listed = strict({
  ...summarySchema.properties,
  found: Type.Optional(
    strict(
      {
        since: nullable(time, 'null: a blob that no manifest has.'),
        tags: Type.Array(strict({ name: Type.String(), since: time })),
        moreTags: Type.Boolean(),
      },
      'With ?digest=: since when it is there, and the tags that lead to it.',
    ),
  ),
});

export function repositoryListRoutes(routes: Routes, context: ApiContext): void {
  const seal = new CursorSeal();
  routes.declare('repositories', 'GET', '/repositories', {
    need: ['filtered'],
    summary: 'Repositories that the caller may pull from.',
    description:
      'Every filter narrows it. A page may have fewer items than `limit`, or none, while `next` still tells of another.',
    query: listQuery,
    answers: { 200: listOf(listed) },
    content: true,
    handle: async (call) => list(await new RepositoryList(context, seal, call).page()),
  });
}

class RepositoryList {
  readonly #context: ApiContext;
  readonly #seal: CursorSeal;
  readonly #query: ListQuery;
  readonly #viewer: Viewer;
  readonly #limit: number;
  readonly #labels: readonly (readonly [string, string])[];
  readonly #digest: Digest | undefined;
  readonly #words: string;
  readonly #wanted: ReturnType<typeof sorting.read>;

  constructor(
    context: ApiContext,
    seal: CursorSeal,
    { query, request, now }: Call<unknown, ListQuery, unknown>,
  ) {
    this.#context = context;
    this.#seal = seal;
    this.#query = query;
    this.#viewer = { rights: request.rights, now };
    this.#limit = query.limit ?? context.config.limits.pageSize;
    this.#labels = [query.label ?? []].flat().map(parseLabel);
    const { digest } = query;
    this.#digest = digest === undefined ? undefined : parseMember('/query/digest', () => parseDigest(digest));
    this.#words = (query.q ?? '').toLowerCase();
    this.#wanted = sorting.read(seal.open(query));
  }

  async page(): Promise<ListPage<object>> {
    const { records, next } = await this.#find();
    const items: Static<typeof listed>[] = [];
    for (const record of records) {
      items.push({ ...showSummary(record), ...(await this.#place(record)) });
      if (this.#digest !== undefined && items.length % placesAtOnce === 0) await turn();
    }
    return { items, next: next === undefined ? undefined : this.#cursorOf(next) };
  }

  // Sealed also where it names what the caller sees: which of both it is should not show.
  #cursorOf(key: string): CursorKey {
    return this.#seal.seal(sorting.next(this.#query, key));
  }

  async #find(): Promise<Found> {
    const few = await this.#fewCandidates();
    if (few !== undefined) return this.#pageOf(few.filter((record) => this.#fits(record)));
    if (this.#by === undefined) return await this.#pageByName();
    const ranges = rangesOf(this.#viewer, this.#query);
    if (ranges.some(({ kind }) => kind === 'all')) return await this.#pageByUse(this.#by);
    const budget: Budget = { rows: rowsToSort, spent: false };
    const all: RepositoryRecord[] = [];
    for await (const batch of walkByName(this.#store, ranges, { wanted: rowsToSort, budget })) {
      all.push(...(await this.#filter(batch)));
    }
    // Who sees few has them sorted here; who sees many finds them soon among those that were used last.
    return budget.spent ? await this.#pageByUse(this.#by) : this.#pageOf(all);
  }

  get #store() {
    return this.#context.registry.metadata.repositories;
  }

  get #by(): RecentBy | undefined {
    const { by } = this.#wanted;
    if (by === 'name') return undefined;
    return by === 'pushedAt' ? 'pushed' : 'pulled';
  }

  /** All that have the digest or the first label, where they are few. */
  async #fewCandidates(): Promise<readonly RepositoryRecord[] | undefined> {
    const [label] = this.#labels;
    const limit = fewRows + 1;
    if (this.#digest !== undefined) {
      const holding = await this.#store.listHolding({ digest: this.#digest, limit });
      if (holding.length < limit) return holding;
    }
    if (label !== undefined) {
      const [key, value] = label;
      const labelled = await this.#store.listWithLabel({ key, value, limit });
      if (labelled.length < limit && this.#digest === undefined) return labelled;
    }
    return undefined;
  }

  #fits(record: RepositoryRecord): boolean {
    if (!liesWithin(record, this.#query) || !sees(this.#viewer, record)) return false;
    if (!this.#labels.every(([key, value]) => record.labels[key] === value)) return false;
    return record.name.includes(this.#words) || record.description.toLowerCase().includes(this.#words);
  }

  async #filter(batch: readonly RepositoryRecord[]): Promise<readonly RepositoryRecord[]> {
    const fitting = batch.filter((record) => this.#fits(record));
    if (this.#digest === undefined || fitting.length === 0) return fitting;
    const ids = fitting.map(({ id }) => id);
    const holding = await this.#store.filterHolding(this.#digest, ids);
    return fitting.filter(({ id }) => holding.has(id));
  }

  async #pageByName(): Promise<Found> {
    const budget: Budget = { rows: rowsOfPage, spent: false };
    const found: RepositoryRecord[] = [];
    const { after, descending } = this.#wanted;
    let seen = after;
    const walk = { after, descending, wanted: this.#limit, budget };
    for await (const batch of walkByName(this.#store, rangesOf(this.#viewer, this.#query), walk)) {
      found.push(...(await this.#filter(batch)));
      seen = batch.at(-1)?.name ?? seen;
      if (found.length > this.#limit) break;
    }
    const records = found.slice(0, this.#limit);
    if (found.length > this.#limit) return { records, next: records.at(-1)?.name };
    return { records, next: budget.spent ? seen : undefined };
  }

  async #pageByUse(by: RecentBy): Promise<Found> {
    const records: RepositoryRecord[] = [];
    let before = this.#before();
    const ascending = !this.#wanted.descending;
    for (let rows = 0; rows < rowsOfPage; rows += 500) {
      const batch = await this.#store.walkRecent({ by, ascending, before, limit: 500 });
      for (const record of await this.#filter(batch)) {
        if (records.length === this.#limit) return { records, next: this.#keyOf(records.at(-1)) };
        records.push(record);
      }
      if (batch.length < 500) return { records, next: undefined };
      const last = batch.at(-1);
      before = last && { at: this.#timeOf(last), id: last.id };
      await turn();
    }
    return { records, next: before && `${before.at}:${before.id}` };
  }

  /** The page of what is all here. */
  #pageOf(all: readonly RepositoryRecord[]): Found {
    const { after } = this.#wanted;
    const before = this.#before();
    const rest = [...all]
      .sort((one, other) => this.#compare(one, other))
      .filter((record) => {
        if (before !== undefined)
          return this.#inOrder(this.#timeOf(record) - before.at || record.id - before.id) > 0;
        return (
          after === undefined || this.#inOrder(record.name < after ? -1 : Number(record.name > after)) > 0
        );
      });
    const records = rest.slice(0, this.#limit);
    return { records, next: rest.length > records.length ? this.#keyOf(records.at(-1)) : undefined };
  }

  #compare(one: RepositoryRecord, other: RepositoryRecord): number {
    if (this.#by === undefined) return this.#inOrder(one.name < other.name ? -1 : 1);
    return this.#inOrder(this.#timeOf(one) - this.#timeOf(other) || one.id - other.id);
  }

  /** A difference, turned round where the list is. */
  #inOrder(difference: number): number {
    return this.#wanted.descending ? -difference : difference;
  }

  #timeOf({ lastPulledAt, lastPushedAt }: RepositoryRecord): number {
    return (this.#by === 'pulled' ? lastPulledAt : lastPushedAt) ?? 0;
  }

  #keyOf(record: RepositoryRecord | undefined): string | undefined {
    if (record === undefined || this.#by === undefined) return record?.name;
    return `${this.#timeOf(record)}:${record.id}`;
  }

  #before(): { readonly at: number; readonly id: number } | undefined {
    const { after: key } = this.#wanted;
    if (key === undefined || this.#by === undefined) return undefined;
    const [, at, id] = /^(\d{1,15}):(\d{1,15})$/.exec(key) ?? [];
    if (at === undefined || id === undefined) throw wrongCursor();
    return { at: Number(at), id: Number(id) };
  }

  async #place({ id }: RepositoryRecord) {
    if (this.#digest === undefined) return {};
    const place = await this.#store.findPlace(id, this.#digest);
    if (place === undefined) return {};
    const tags = place.tags.map(({ name, since }) => ({ name, since: timeText(since) }));
    return { found: { since: timeTextOrNull(place.since), tags, moreTags: place.moreTags } };
  }
}

interface Found {
  readonly records: readonly RepositoryRecord[];
  readonly next: string | undefined;
}

function parseLabel(text: string): readonly [string, string] {
  const mark = text.indexOf('=');
  if (mark < 1) throw invalidMember('/query/label', 'write a label as key=value');
  return [text.slice(0, mark), text.slice(mark + 1)];
}
