// Tags and manifests as the management API shows them, and the query of their lists.
import { type Static, Type } from 'typebox';
import { parsePlatform } from '../../../oci/description.ts';
import { parseRepositoryName, type RepositoryName } from '../../../oci/name.ts';
import { compileTagGlob, InvalidGlobError } from '../../../oci/tag-glob.ts';
import type {
  Deprecation,
  ListTags,
  ManifestDetails,
  ManifestFacts,
  TagDetails,
  TagFilter,
  TagOrder,
} from '../../../storage/metadata-store.ts';
import { type HeldRule, protectionKinds } from '../../../storage/protection-store.ts';
import { faultOfDeprecation } from '../../deprecation.ts';
import { afterKeys, type PageQuery, pageMembers } from './pages.ts';
import { invalidMember, parseMember } from './problem.ts';
import { nullable, strict, time, timeText, timeTextOrNull } from './schemas.ts';

export const deprecationSchema = strict({
  message: Type.String({ minLength: 1, maxLength: 2000, description: 'Why it should not be used any more.' }),
  replacement: Type.Optional(
    Type.String({ minLength: 1, maxLength: 400, description: 'What to use instead, as people write it.' }),
  ),
});
export const manifestKind = Type.Enum(['image', 'index', 'artifact']);

const factMembers = {
  digest: Type.String(),
  mediaType: Type.String(),
  artifactType: nullable(Type.String()),
  kind: manifestKind,
  platforms: Type.Array(Type.String(), {
    description: 'linux/amd64, linux/arm/v7; attestations are for none.',
  }),
  size: Type.Integer({
    description: 'Bytes of config and layers; of an index those of what it lists, each blob once.',
  }),
  pulledAt: nullable(time, 'The last pull by tag or digest; null: never.'),
  pulls: Type.Integer(),
  signed: Type.Boolean({ description: 'Somebody signed it; whom to trust is for the client to say.' }),
};
export const tagSchema = strict({
  name: Type.String(),
  ...factMembers,
  pushedAt: time,
  pushedBy: Type.String({ description: 'Who set the tag to this manifest.' }),
  immutable: nullable(
    Type.Enum([...protectionKinds]),
    'The strictest rule of protection that holds for the tag; whom it exempts may change the tag all the same.',
  ),
  deprecation: nullable(deprecationSchema),
});
export const manifestSchema = strict({
  ...factMembers,
  pushedAt: time,
  pushedBy: Type.String(),
  subject: nullable(Type.String(), 'The digest that it refers to: it is a signature, an SBOM or the like.'),
  tags: Type.Array(Type.String(), { description: 'The first twenty.' }),
  tagCount: Type.Integer(),
  listedBy: Type.Array(Type.String(), { description: 'Indexes that list it; the first ten.' }),
});

const sorts = [
  ...['name', '-name', 'pushedAt', '-pushedAt', 'pulledAt', '-pulledAt'],
  ...['size', '-size', 'semver', '-semver'],
];
/** Of what kind the values of a cursor are. */
const shapes: Readonly<Record<TagOrder, readonly ('string' | 'number')[]>> = {
  name: ['string'],
  pushedAt: ['number', 'string'],
  pulledAt: ['number', 'number', 'string'],
  size: ['number', 'number', 'string'],
  semver: ['string', 'string'],
};

export const tagListMembers = {
  ...pageMembers,
  q: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 300,
      description:
        'A part of the tag, whatever its case; with * ? [a-z] or {a,b} a pattern of the whole tag.',
    }),
  ),
  sort: Type.Optional(
    Type.Enum(sorts, {
      description: 'By name unless told. semver: what is no version comes before all versions.',
    }),
  ),
  platform: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 100,
      description: 'linux/arm64; linux/arm finds all its variants.',
    }),
  ),
  signed: Type.Optional(Type.Boolean()),
};

type TagListQuery = PageQuery & {
  readonly q?: string;
  readonly sort?: string;
  readonly platform?: string;
  readonly signed?: boolean;
};

/** What of a list of tags is asked for. Throws the invalid Problem. */
export function wantedTags(
  query: TagListQuery,
): Omit<ListTags, 'repository' | 'limit'> & { readonly sort: string } {
  const { sort = 'name' } = query;
  const descending = sort.startsWith('-');
  const order = (descending ? sort.slice(1) : sort) as TagOrder;
  const after = afterKeys(query, sort, shapes[order]);
  return { sort, order, descending, after, filter: filterOf(query) };
}

function filterOf({ q, platform, signed }: TagListQuery): TagFilter {
  const isGlob = q !== undefined && /[*?[\]{}]/.test(q);
  const named = platform === undefined ? undefined : parsePlatform(platform);
  if (platform !== undefined && named === undefined) {
    throw invalidMember('/query/platform', 'write a platform as linux/amd64 or linux/arm/v7');
  }
  return {
    matching: isGlob ? parseGlob(q, '/query/q') : undefined,
    containing: isGlob ? undefined : q,
    platform: named,
    signed,
  };
}

/** A pattern of tags that can be. Throws the invalid Problem. */
export function parseGlob(text: string, pointer: string): string {
  try {
    compileTagGlob(text);
  } catch (error) {
    if (!(error instanceof InvalidGlobError)) throw error;
    throw invalidMember(pointer, error.message);
  }
  return text;
}

export function repositoryIn(text: string): RepositoryName {
  return parseMember('/params/repository', () => parseRepositoryName(text));
}

/** A notice that can be sent to clients; null: none. Throws the invalid Problem. */
export function checkDeprecation(
  repository: RepositoryName,
  deprecation: Static<typeof deprecationSchema> | null,
): Deprecation | undefined {
  if (deprecation === null) return undefined;
  const fault = faultOfDeprecation(repository, deprecation);
  if (fault !== undefined) throw invalidMember('/deprecation', fault);
  return deprecation;
}

/** `held`: which rule of protection holds for it. */
export function showTag(tag: TagDetails, held: HeldRule | undefined): Static<typeof tagSchema> {
  const { name, pushedAt, pushedBy, deprecation } = tag;
  return {
    name,
    ...showFacts(tag),
    pushedAt: timeText(pushedAt),
    pushedBy,
    immutable: held?.rule ?? null,
    deprecation: deprecation === undefined ? null : { ...deprecation },
  };
}

/** What the entity tag of a tag is about: what people change. Pulls and signatures come by themselves. */
export function taggedPart({ name, digest, deprecation }: TagDetails): object {
  return { name, digest, deprecation: deprecation ?? null };
}

export function showManifest(manifest: ManifestDetails): Static<typeof manifestSchema> {
  const { pushedAt, pushedBy, subject, tags, tagCount, listedBy } = manifest;
  return {
    ...showFacts(manifest),
    pushedAt: timeText(pushedAt),
    pushedBy,
    subject: subject ?? null,
    tags: [...tags],
    tagCount,
    listedBy: [...listedBy],
  };
}

function showFacts(facts: ManifestFacts) {
  const { digest, mediaType, artifactType, kind, platforms, size, pulledAt, pulls, signed } = facts;
  return {
    digest,
    mediaType,
    artifactType: artifactType ?? null,
    kind,
    platforms: [...platforms],
    size,
    pulledAt: timeTextOrNull(pulledAt),
    pulls,
    signed,
  };
}
