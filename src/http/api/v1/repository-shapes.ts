// Repositories as the management API shows and takes them.
import { type Static, Type } from 'typebox';
import { namespaceOf } from '../../../oci/name.ts';
import type { RepositoryDetails, RepositoryLink, RepositoryRecord } from '../../../storage/metadata-store.ts';
import { invalidMember } from './problem.ts';
import { nullable, strict, time, timeText, timeTextOrNull, visibility } from './schemas.ts';
import { deprecationSchema } from './tag-shapes.ts';

const longestReadme = 64 * 1024;
const mostLinks = 20;
const mostLabels = 50;
const longestValue = 255;
const keyPattern = /^[a-z0-9](?:[a-z0-9._/-]{0,61}[a-z0-9])?$/;

export const labelsSchema = Type.Record(Type.String(), Type.String(), {
  description: 'Words of your own by which repositories are found: {"team":"web"}.',
});
export const summarySchema = strict({
  name: Type.String(),
  namespace: Type.String(),
  visibility,
  description: Type.String(),
  labels: labelsSchema,
  manifests: Type.Integer(),
  tags: Type.Integer(),
  sizes: strict({
    own: Type.Integer({ description: 'Bytes of blobs that no other repository has.' }),
    shared: Type.Integer({ description: 'Bytes of blobs that others have too.' }),
  }),
  pulls: Type.Integer(),
  pushes: Type.Integer(),
  lastPulledAt: nullable(time, 'null: never.'),
  lastPushedAt: nullable(time, 'null: never.'),
  createdAt: time,
  deprecation: nullable(deprecationSchema),
});
const link = strict({
  title: Type.String({ minLength: 1, maxLength: 100 }),
  url: Type.String({ minLength: 1, maxLength: 2048 }),
});
export const detailsSchema = strict({
  ...summarySchema.properties,
  readme: Type.String({ description: 'Markdown.' }),
  links: Type.Array(link),
});

/** What a PATCH takes besides a new name. */
export const changeMembers = {
  visibility: Type.Optional(visibility),
  description: Type.Optional(Type.String({ maxLength: 1000 })),
  readme: Type.Optional(
    Type.String({ maxLength: longestReadme, description: `Markdown, at most ${longestReadme} bytes.` }),
  ),
  links: Type.Optional(Type.Array(link, { maxItems: mostLinks })),
  deprecation: Type.Optional(nullable(deprecationSchema)),
  labels: Type.Optional(
    Type.Record(Type.String(), nullable(Type.String()), {
      description: `At most ${mostLabels}; null removes one.`,
    }),
  ),
};

export function showSummary(record: RepositoryRecord): Static<typeof summarySchema> {
  const { name, description, labels, manifests, tags, pulls, pushes } = record;
  return {
    name,
    namespace: namespaceOf(name),
    visibility: record.visibility,
    description,
    labels: { ...labels },
    manifests,
    tags,
    sizes: { own: record.ownBytes, shared: record.sharedBytes },
    pulls,
    pushes,
    lastPulledAt: timeTextOrNull(record.lastPulledAt),
    lastPushedAt: timeTextOrNull(record.lastPushedAt),
    createdAt: timeText(record.createdAt),
    deprecation: record.deprecation === undefined ? null : { ...record.deprecation },
  };
}

export function showDetails(details: RepositoryDetails): Static<typeof detailsSchema> {
  return { ...showSummary(details), readme: details.readme, links: [...details.links] };
}

/** What its entity tag is about: what people set, and not what pushes and pulls move. */
export function taggedPart(details: RepositoryDetails): object {
  const { name, visibility: seen, description, readme, links, labels, deprecation = null } = details;
  return { name, visibility: seen, description, readme, links, labels, deprecation };
}

/** Throws the invalid Problem for a README that is too long in bytes. */
export function checkReadme(readme: string | undefined): void {
  if (readme === undefined || Buffer.byteLength(readme) <= longestReadme) return;
  throw invalidMember('/readme', `a README has at most ${longestReadme} bytes in UTF-8`);
}

/** Throws the invalid Problem for a link that is not of the web. */
export function checkLinks(links: readonly RepositoryLink[] | undefined): void {
  for (const [index, { url, title }] of (links ?? []).entries()) {
    if (hasControls(title)) throw invalidMember(`/links/${index}/title`, 'a title has no control characters');
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    const isWeb = parsed !== undefined && ['http:', 'https:'].includes(parsed.protocol);
    if (isWeb && parsed.username === '' && parsed.password === '' && !/\s/.test(url)) continue;
    throw invalidMember(
      `/links/${index}/url`,
      'use an address that begins with http:// or https://, without a password in it',
    );
  }
}

/** The labels that are there with a merge patch applied. Throws the invalid Problem for what cannot be one. */
export function patchedLabels(
  before: Readonly<Record<string, string>>,
  patch: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const labels = new Map(Object.entries(before));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) labels.delete(key);
    else {
      checkLabel(key, value, `/labels/${key.slice(0, 100).replaceAll('~', '~0').replaceAll('/', '~1')}`);
      labels.set(key, value);
    }
  }
  if (labels.size > mostLabels)
    throw invalidMember('/labels', `a repository has at most ${mostLabels} labels`);
  return Object.fromEntries([...labels].sort(([one], [other]) => (one < other ? -1 : 1)));
}

function checkLabel(key: string, value: string, pointer: string): void {
  if (!keyPattern.test(key)) {
    throw invalidMember(
      pointer,
      'the key of a label has at most 63 lower-case letters, digits and . _ - / and begins and ends with a letter or digit',
    );
  }
  if (value.length > longestValue || hasControls(value))
    throw invalidMember(
      pointer,
      `the value of a label has at most ${longestValue} characters, without control characters`,
    );
}

function hasControls(text: string): boolean {
  return /[\u0000-\u001f\u007f-\u009f]/.test(text);
}
