// Tags: lists, one tag, its notice, its past, and removing one or many. Setting one is in tag-setting.ts.
import { Type } from 'typebox';
import type { RepositoryName } from '../../../oci/name.ts';
import { parseTag, type Tag } from '../../../oci/reference.ts';
import { type TagDetails, type TagPast, tagHistoryActions } from '../../../storage/metadata-store.ts';
import { TagProtectedError } from '../../../storage/protection-store.ts';
import type { ApiContext } from './context.ts';
import { afterKeys, afterNumber, pageMembers, pageOf, writeCursor } from './pages.ts';
import { notFound, parseMember } from './problem.ts';
import { found, list, nothing, type Routes } from './route.ts';
import { listOf, nullable, parseTime, strict, time, timeText } from './schemas.ts';
import {
  checkDeprecation,
  deprecationSchema,
  parseGlob,
  repositoryIn,
  showTag,
  taggedPart,
  tagListMembers,
  tagSchema,
  wantedTags,
} from './tag-shapes.ts';

const historySchema = strict({
  digest: nullable(Type.String(), 'null: the tag was removed.'),
  previousDigest: nullable(Type.String()),
  action: Type.Enum([...tagHistoryActions]),
  actor: Type.String(),
  at: time,
  state: Type.Enum(['live', 'deleted', 'gone'], {
    description: 'Of the manifest: it is there, it can be brought back, or it is gone for good.',
  }),
  restorableUntil: nullable(
    time,
    'Of a deleted one, if the registry runs until then; its clock is its uptime.',
  ),
});
const removedSchema = strict({
  dryRun: Type.Optional(Type.Literal(true)),
  deleted: Type.Array(strict({ name: Type.String(), digest: Type.String() })),
  kept: Type.Array(strict({ name: Type.String(), reason: Type.String() }), {
    description: 'What a rule of protection keeps.',
  }),
  next: nullable(
    Type.String(),
    'Go on with it as ?cursor=: there may be more to delete. null: that was all.',
  ),
});

/** For so long one request goes on; then it answers how far it came. */
const longestRemovalMilliseconds = 2000;
const longestAnswer = 10_000;

export function tagRoutes(routes: Routes, context: ApiContext): void {
  listTags(routes, context);
  changeTag(routes, context);
  removeTag(routes, context);
  removeTags(routes, context);
  showHistory(routes, context);
}

export function tagIn(text: string): Tag {
  return parseMember('/params/tag', () => parseTag(text));
}

/** A tag with the rule that holds for it, as the API shows it. Throws the not-found Problem. */
export async function shownTag(context: ApiContext, repository: RepositoryName, name: Tag) {
  const tag = await findTag(context, repository, name);
  const ruleOf = await context.registry.metadata.protection.rulesOf(repository);
  return { tag, shown: showTag(tag, ruleOf(name)) };
}

/** The tag, or the not-found Problem. */
async function findTag({ registry }: ApiContext, repository: RepositoryName, tag: Tag): Promise<TagDetails> {
  const details = await registry.metadata.tags.find(repository, tag);
  if (details === undefined) throw unknownTag(repository, tag);
  return details;
}

function unknownTag(repository: RepositoryName, tag: Tag) {
  return notFound(`tag ${repository}:${tag}`);
}

function listTags(routes: Routes, context: ApiContext): void {
  const { tags, protection } = context.registry.metadata;
  routes.declare('tags', 'GET', '/repositories/:repository/-/tags', {
    need: ['read'],
    summary: 'The tags of a repository, in any order, with what they point at.',
    description: 'With a filter a page may be short, even empty, and yet have a `next`.',
    query: strict(tagListMembers),
    answers: { 200: listOf(tagSchema) },
    content: true,
    handle: async ({ params, query }) => {
      const repository = repositoryIn(params.repository);
      const { sort, ...wanted } = wantedTags(query);
      const limit = query.limit ?? context.config.limits.pageSize;
      const part = await tags.details({ repository, ...wanted, limit });
      if (part === undefined) throw notFound(`repository ${repository}`);
      const ruleOf = await protection.rulesOf(repository);
      const items = part.items.map((tag) => showTag(tag, ruleOf(tag.name)));
      return list({ items, next: part.next && [sort, ...part.next] });
    },
  });
  routes.declare('tags', 'GET', '/repositories/:repository/-/tags/:tag', {
    need: ['read'],
    summary: 'One tag. Its entity tag is about where it points and its notice, not about pulls.',
    answers: { 200: tagSchema },
    content: true,
    handle: async ({ params }) => {
      const { tag, shown } = await shownTag(context, repositoryIn(params.repository), tagIn(params.tag));
      return found(shown, taggedPart(tag));
    },
  });
}

function changeTag(routes: Routes, context: ApiContext): void {
  const { tags } = context.registry.metadata;
  routes.declare('tags', 'PATCH', '/repositories/:repository/-/tags/:tag', {
    need: ['maintain'],
    summary: 'Sets or takes back the notice that a tag should not be used any more (JSON merge patch).',
    description: 'Clients get it as a Warning header with each pull by the tag.',
    body: strict({ deprecation: Type.Optional(nullable(deprecationSchema)) }),
    answers: { 200: tagSchema },
    content: true,
    current: async ({ params }) => {
      const tag = await tags.find(repositoryIn(params.repository), tagIn(params.tag));
      return tag && taggedPart(tag);
    },
    handle: async ({ params, body, origin }) => {
      const repository = repositoryIn(params.repository);
      const tag = tagIn(params.tag);
      if (body.deprecation !== undefined) {
        const deprecation = checkDeprecation(repository, body.deprecation);
        if (!(await tags.deprecate({ repository, tag, deprecation, origin })))
          throw unknownTag(repository, tag);
      }
      const changed = await shownTag(context, repository, tag);
      return found(changed.shown, taggedPart(changed.tag));
    },
  });
}

function removeTag(routes: Routes, context: ApiContext): void {
  const { metadata, tagging, writes } = context.registry;
  routes.declare('tags', 'DELETE', '/repositories/:repository/-/tags/:tag', {
    need: ['maintain'],
    summary: 'Removes a tag alone: its manifest stays, and so do its other tags.',
    answers: { 204: Type.Null() },
    content: true,
    whileReadOnly: false,
    current: async ({ params }) => {
      const tag = await metadata.tags.find(repositoryIn(params.repository), tagIn(params.tag));
      return tag && taggedPart(tag);
    },
    plan: async ({ params, origin }) => {
      writes.admitDeletePlan();
      const repository = repositoryIn(params.repository);
      const { name: tag, digest } = await findTag(context, repository, tagIn(params.tag));
      const kept = await metadata.protection.findProtection({ act: 'delete', repository, tag, origin });
      if (kept !== undefined) throw new TagProtectedError(kept);
      return { deleted: [{ name: tag, digest }] };
    },
    handle: async ({ params, origin }) => {
      const repository = repositoryIn(params.repository);
      const tag = tagIn(params.tag);
      if (!(await tagging.remove(repository, tag, origin))) throw unknownTag(repository, tag);
      return nothing;
    },
  });
}

function removeTags(routes: Routes, context: ApiContext): void {
  const { tagging } = context.registry;
  routes.declare('tags', 'DELETE', '/repositories/:repository/-/tags', {
    need: ['maintain'],
    summary: 'Removes many tags, by pattern and age.',
    description:
      'It answers after some seconds with what was deleted until then and a `next` to go on with. A tag that was never pulled ' +
      'counts for `pulledBefore` from when it was set.',
    query: strict({
      match: Type.String({
        minLength: 1,
        maxLength: 300,
        description: 'A pattern of the whole tag: pr-*, {rc,beta}-*.',
      }),
      pushedBefore: Type.Optional(time),
      pulledBefore: Type.Optional(time),
      dryRun: Type.Optional(Type.Boolean({ description: 'Only say what would go.' })),
      cursor: pageMembers.cursor,
    }),
    answers: { 200: removedSchema },
    content: true,
    whileReadOnly: false,
    handle: async ({ params, query, origin }) => {
      const repository = repositoryIn(params.repository);
      const { match, pushedBefore, pulledBefore, dryRun = false } = query;
      const filter = {
        matching: parseGlob(match, '/query/match'),
        pushedBefore: pushedBefore === undefined ? undefined : parseTime(pushedBefore, '/query/pushedBefore'),
        pulledBefore: pulledBefore === undefined ? undefined : parseTime(pulledBefore, '/query/pulledBefore'),
      };
      const deleted: { name: Tag; digest: string }[] = [];
      const kept: { name: Tag; reason: string }[] = [];
      const begun = performance.now();
      let after = afterKeys(query, 'remove', ['string'])?.[0] as string | undefined;
      do {
        const part = await tagging.removeMatching({ repository, filter, after, dryRun, origin });
        if (part === undefined) throw notFound(`repository ${repository}`);
        deleted.push(...part.deleted);
        kept.push(...part.kept);
        after = part.next;
      } while (
        after !== undefined &&
        performance.now() - begun < longestRemovalMilliseconds &&
        deleted.length + kept.length < longestAnswer
      );
      const next = after === undefined ? null : writeCursor(['remove', after]);
      return found({ ...(dryRun ? { dryRun } : {}), deleted, kept, next });
    },
  });
}

function showHistory(routes: Routes, context: ApiContext): void {
  const { tags, repositories } = context.registry.metadata;
  routes.declare('tags', 'GET', '/repositories/:repository/-/tags/:tag/history', {
    need: ['read'],
    summary: "A tag's past, newest first, also of one that is gone.",
    query: strict(pageMembers),
    answers: { 200: listOf(historySchema) },
    content: true,
    handle: async ({ params, query, now }) => {
      const repository = repositoryIn(params.repository);
      const tag = tagIn(params.tag);
      const limit = query.limit ?? context.config.limits.pageSize;
      const before = afterNumber(query);
      const page = await tags.history({ repository, tag, before, limit });
      if (page.items.length === 0 && before === undefined) {
        const live = (await repositories.find(repository))?.live === true;
        throw live ? unknownTag(repository, tag) : notFound(`repository ${repository}`);
      }
      return list(
        pageOf(
          page,
          (past) => showPast(past, now),
          ({ cursor }) => cursor,
        ),
      );
    },
  });
}

function showPast(
  { digest, previousDigest, action, actor, at, state, restorableSeconds }: TagPast,
  now: number,
) {
  return {
    digest: digest ?? null,
    previousDigest: previousDigest ?? null,
    action,
    actor,
    at: timeText(at),
    state,
    restorableUntil: restorableSeconds === undefined ? null : timeText(now + restorableSeconds),
  };
}
