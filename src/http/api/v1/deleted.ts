// What was deleted and can come back. Each kind of thing has an entry in `kindsOf`; an id is the kind and a number: manifest-12.
import { type Static, Type } from 'typebox';
import { includesRole } from '../../../auth/roles.ts';
import { parseRepositoryName, type RepositoryName } from '../../../oci/name.ts';
import type { Role } from '../../../storage/account-store.ts';
import type {
  DeletedManifest,
  DeletedRepository,
  DeletedTag,
  Origin,
} from '../../../storage/metadata-store.ts';
import type { ApiContext } from './context.ts';
import { afterKeys, pageMembers } from './pages.ts';
import { invalidMember, notFound, Problem, parseMember } from './problem.ts';
import { needWrite, takenProblem } from './repositories.ts';
import { roleOnRepository } from './repository-roles.ts';
import { type Call, found, list, nothing, type Routes } from './route.ts';
import { listOf, name, nullable, strict, time, timeText } from './schemas.ts';
import { CursorSeal } from './sealed-cursors.ts';
import { notWholeProblem } from './tag-setting.ts';

/** In the order of the list. */
const kinds = ['repository', 'manifest', 'tag'] as const;
type Kind = (typeof kinds)[number];

const deletedSchema = strict({
  id: Type.String({ description: 'repository-5, manifest-12, tag-34' }),
  kind: Type.Enum([...kinds]),
  repository: Type.String(),
  digest: nullable(Type.String()),
  tag: nullable(Type.String(), 'Of a removed tag, whose manifest is there still.'),
  tags: Type.Array(Type.String(), { description: 'Of a manifest: the tags that went with it.' }),
  size: nullable(
    Type.Integer({
      description: 'Bytes of config and layers; of a repository those of blobs that no other repository has.',
    }),
  ),
  deletedAt: time,
  deletedBy: Type.String(),
  restorableUntil: nullable(
    time,
    'If the registry runs until then: its clock is its uptime. null: as long as its manifest is there.',
  ),
});
type Shown = Static<typeof deletedSchema>;

const restoredSchema = strict({
  dryRun: Type.Optional(Type.Literal(true)),
  repository: Type.String({ description: 'Its name from now on.' }),
  restored: Type.Array(Type.String(), {
    description: 'Manifests that came back. None is named where a repository did: it has all that it had.',
  }),
  tags: Type.Array(Type.String(), { description: 'Tags that point there again.' }),
  taken: Type.Array(Type.String(), { description: 'Tags that point elsewhere by now, and were left so.' }),
});

/** Rows looked at for one page. Who may see little gets short pages. */
const mostLookedAt = 2000;
const step = 200;

type RestoreCall = Call<
  { readonly id: string },
  { readonly dryRun?: boolean },
  { readonly name?: string } | null
>;

/** One thing that was deleted. */
interface Entry {
  readonly repository: RepositoryName;
  readonly shown: Shown;
}

/** What is done with deleted things of one kind. */
interface DeletedKind {
  /** The role on the repository that it takes to see them and to bring them back. */
  readonly need: Role;
  /** Newest first, beginning before a number; `next` is undefined at the end. */
  list(options: {
    readonly repository: RepositoryName | undefined;
    readonly before: number | undefined;
    readonly now: number;
  }): Promise<{
    readonly entries: readonly (Entry & { readonly cursor: number })[];
    readonly next: number | undefined;
  }>;
  find(id: number, now: number): Promise<Entry | undefined>;
  /** Throws Problem where it does not come back. */
  restore(id: number, entry: Entry, call: RestoreCall): Promise<Static<typeof restoredSchema>>;
  /** Throws Problem where that is not possible. */
  purge(id: number, origin: Origin): Promise<boolean>;
}

function kindsOf(context: ApiContext): Readonly<Record<Kind, DeletedKind>> {
  const { metadata, tagging } = context.registry;
  const { deleted } = metadata;
  return {
    repository: repositoriesOf(context),
    manifest: {
      need: 'maintain',
      list: async ({ repository, before, now }) => {
        const { items, more } = await deleted.listManifests({ repository, before, limit: step });
        const entries = items.map((item) => ({ ...showManifest(item, now), cursor: item.id }));
        return { entries, next: more ? items.at(-1)?.id : undefined };
      },
      find: async (id, now) => {
        const manifest = await deleted.findManifest(id);
        return manifest && showManifest(manifest, now);
      },
      restore: (id, entry, call) => restoreIn(context, 'manifest', { id, entry, call }),
      purge: (id, origin) => tagging.purge(id, origin),
    },
    tag: {
      need: 'maintain',
      list: async ({ repository, before }) => {
        const { items, next } = await deleted.listTags({ repository, before, limit: step });
        const entries = items.map((item) => ({ ...showTag(item), cursor: item.id }));
        return { entries, next: next === undefined ? undefined : Number(next[0]) };
      },
      find: async (id) => {
        const tag = await deleted.findTag(id);
        return tag && showTag(tag);
      },
      restore: (id, entry, call) => restoreIn(context, 'tag', { id, entry, call }),
      purge: async (id) => {
        if ((await deleted.findTag(id)) === undefined) return false;
        throw holdsNothing();
      },
    },
  };
}

function repositoriesOf(context: ApiContext): DeletedKind {
  const { metadata, writes } = context.registry;
  const { repositories } = metadata;
  return {
    need: 'admin',
    list: async ({ repository, before, now }) => {
      const { items, more } = await repositories.listDeleted({ before, limit: step });
      const entries = items
        .filter(({ name: deletedName }) => repository === undefined || deletedName === repository)
        .map((item) => ({ ...showRepository(item, now), cursor: item.id }));
      return { entries, next: more ? items.at(-1)?.id : undefined };
    },
    find: async (id, now) => {
      const found = await repositories.findDeleted(id);
      return found && showRepository(found, now);
    },
    restore: (id, entry, call) => restoreRepository(context, { id, entry, call }),
    purge: async (id, origin) => {
      writes.admitDelete();
      return await writes.withBallast(() => repositories.purge({ id, origin }));
    },
  };
}

function holdsNothing(): Problem {
  return new Problem(
    'conflict',
    'a removed tag holds no bytes: its manifest is there still, and can be deleted',
  );
}

interface Restoring {
  readonly id: number;
  readonly entry: Entry;
  readonly call: RestoreCall;
}

/** A manifest or a tag, which comes back into its repository. */
async function restoreIn(
  { registry }: ApiContext,
  kind: 'manifest' | 'tag',
  { id, entry, call }: Restoring,
): Promise<Static<typeof restoredSchema>> {
  const { dryRun = false } = call.query;
  if (call.body?.name !== undefined)
    throw invalidMember('/name', 'only a repository comes back under another name');
  const restored = await registry.tagging.restore(kind, { id, origin: call.origin, dryRun });
  if (restored.outcome === 'unknown') throw unknown(call.params.id);
  if (restored.outcome === 'taken') {
    const { repository, tag } = entry.shown;
    throw new Problem(
      'exists',
      `${repository}:${tag} is there again: remove it first, or set it to what you want`,
    );
  }
  if (restored.outcome !== 'restored') throw notWholeProblem(restored);
  const { restored: digests, tags, taken } = restored;
  return {
    repository: entry.repository,
    restored: [...digests],
    tags: [...tags],
    taken: [...taken],
  };
}

async function restoreRepository(
  context: ApiContext,
  { id, entry, call }: Restoring,
): Promise<Static<typeof restoredSchema>> {
  const { metadata, writes } = context.registry;
  const { dryRun = false } = call.query;
  const wanted = call.body?.name;
  const to =
    wanted === undefined ? entry.repository : parseMember('/name', () => parseRepositoryName(wanted));
  if (to !== entry.repository) await needWrite(context, call, to);
  if (!dryRun) await writes.admitContent();
  const restored = await metadata.repositories.restore({ id, name: to, dryRun, origin: call.origin });
  if (restored.outcome === 'unknown') throw unknown(call.params.id);
  if (restored.outcome !== 'restored') {
    const taken = await takenProblem(context, call, to, restored);
    throw new Problem(
      taken.code,
      `${taken.message}. Or restore it under another name (berth deleted restore ${call.params.id} --as NAME)`,
    );
  }
  return { repository: restored.name, restored: [], tags: [], taken: [] };
}

export function deletedRoutes(routes: Routes, context: ApiContext): void {
  const byKind = kindsOf(context);
  listDeleted(routes, context, byKind);
  const find = async (call: Call<{ readonly id: string }, unknown, unknown>) => {
    const { id } = call.params;
    const [, kind = '', number = ''] = /^([a-z]+)-(\d{1,15})$/.exec(id) ?? [];
    const known = kinds.find((each) => each === kind);
    const entry = known && (await byKind[known].find(Number(number), call.now));
    if (known === undefined || entry === undefined) throw unknown(id);
    const role = await roleOnRepository(context, call, entry.repository);
    // What was deleted is shown to who may bring it back.
    if (!includesRole(role, byKind[known].need)) throw unknown(id);
    return { entry, id: Number(number), of: byKind[known] };
  };

  routes.declare('deleted', 'POST', '/deleted/:id/restore', {
    need: ['signed-in'],
    summary:
      'Brings back what was deleted. Needs the role maintain on its repository; for a whole one admin.',
    description:
      'A manifest comes back with what it lists, and with those of its tags that are free; a repository with all that it had, ' +
      'under its own name or, for the role write on that, under another `name`.',
    query: strict({ dryRun: Type.Optional(Type.Boolean({ description: 'Only say what would come back.' })) }),
    body: nullable(
      strict({ name: Type.Optional(name) }),
      'A name is for repositories. Without a body: its own.',
    ),
    answers: { 200: restoredSchema },
    content: true,
    handle: async (call) => {
      const { entry, id, of } = await find(call);
      const restored = await of.restore(id, entry, call);
      return found({ ...(call.query.dryRun ? { dryRun: true } : {}), ...restored });
    },
  });

  routes.declare('deleted', 'DELETE', '/deleted/:id', {
    need: ['administrator'],
    summary: 'Gives up what was deleted: the next collection frees its bytes, and nothing brings it back.',
    answers: { 204: Type.Null() },
    whileReadOnly: false,
    plan: async (call) => {
      const { entry, of } = await find(call);
      if (of === byKind.tag) throw holdsNothing();
      context.registry.writes.admitDeletePlan();
      return { purges: entry.shown };
    },
    handle: async (call) => {
      const { id, of } = await find(call);
      if (!(await of.purge(id, call.origin))) throw unknown(call.params.id);
      return nothing;
    },
  });
}

function listDeleted(routes: Routes, context: ApiContext, byKind: Readonly<Record<Kind, DeletedKind>>): void {
  const seal = new CursorSeal();
  const nextOf = (kind: Kind, before: number | undefined) =>
    seal.seal(['deleted', kind, before ?? Number.MAX_SAFE_INTEGER]);
  routes.declare('deleted', 'GET', '/deleted', {
    need: ['signed-in'],
    summary:
      'What was deleted and can come back: repositories for the role admin, what was in others for maintain.',
    description:
      'Repositories first, then manifests, then removed tags, each newest first. A page may be short, even empty, and yet have a `next`.',
    query: strict({
      ...pageMembers,
      repository: Type.Optional(name),
      kind: Type.Optional(Type.Enum([...kinds])),
    }),
    answers: { 200: listOf(deletedSchema) },
    content: true,
    handle: async (call) => {
      const { query, now } = call;
      const limit = query.limit ?? context.config.limits.pageSize;
      const repository =
        query.repository === undefined
          ? undefined
          : parseMember('/query/repository', () => parseRepositoryName(query.repository ?? ''));
      const wanted = query.kind === undefined ? kinds : kinds.filter((kind) => kind === query.kind);
      const [from, number] = afterKeys(seal.open(query), 'deleted', ['string', 'number']) ?? [];
      let index = Math.max(0, wanted.indexOf((from ?? wanted[0]) as Kind));
      let before = number as number | undefined;
      const mayRestore = roleMemory(context, call);
      const items: Shown[] = [];
      let looked = 0;
      for (let kind = wanted[index]; kind !== undefined; kind = wanted[index]) {
        if (looked >= mostLookedAt) return list({ items, next: nextOf(kind, before) });
        const { entries, next } = await byKind[kind].list({ repository, before, now });
        looked += step;
        for (const entry of entries) {
          if (items.length === limit) return list({ items, next: nextOf(kind, before) });
          before = entry.cursor;
          if (await mayRestore(entry.repository, byKind[kind].need)) items.push(entry.shown);
        }
        before = next;
        if (next === undefined) index += 1;
      }
      return list({ items, next: undefined });
    },
  });
}

/** Decides once for each repository of a page. Auditors see all of it. */
function roleMemory(context: ApiContext, call: Call<unknown, unknown, unknown>) {
  const roles = new Map<RepositoryName, Role | undefined>();
  const seesAll = call.request.rights !== undefined && call.request.rights.registryRole !== 'user';
  return async (repository: RepositoryName, need: Role): Promise<boolean> => {
    if (seesAll) return true;
    if (!roles.has(repository)) roles.set(repository, await roleOnRepository(context, call, repository));
    return includesRole(roles.get(repository), need);
  };
}

function unknown(id: string): Problem {
  return notFound(`deleted ${id.slice(0, 40)}`);
}

function showRepository(repository: DeletedRepository, now: number): Entry {
  const { id, name: deletedName, ownBytes, deletedAt, deletedBy, restorableSeconds } = repository;
  const shown: Shown = {
    id: `repository-${id}`,
    kind: 'repository',
    repository: deletedName,
    digest: null,
    tag: null,
    tags: [],
    size: ownBytes,
    deletedAt: timeText(deletedAt),
    deletedBy,
    restorableUntil: timeText(now + restorableSeconds),
  };
  return { repository: deletedName, shown };
}

function showManifest(manifest: DeletedManifest, now: number): Entry {
  const { id, repository, digest, tags, size, deletedAt, deletedBy, restorableSeconds } = manifest;
  const shown: Shown = {
    id: `manifest-${id}`,
    kind: 'manifest',
    repository,
    digest,
    tag: null,
    tags: [...tags],
    size,
    deletedAt: timeText(deletedAt),
    deletedBy,
    restorableUntil: timeText(now + restorableSeconds),
  };
  return { repository, shown };
}

function showTag({ id, repository, name: tag, digest, deletedAt, deletedBy }: DeletedTag): Entry {
  const shown: Shown = {
    id: `tag-${id}`,
    kind: 'tag',
    repository,
    digest,
    tag,
    tags: [],
    size: null,
    deletedAt: timeText(deletedAt),
    deletedBy,
    restorableUntil: null,
  };
  return { repository, shown };
}
