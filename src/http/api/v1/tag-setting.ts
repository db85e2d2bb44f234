// The one way to set a tag: to another manifest of the repository (retag), to one of another repository, which comes along without
// moving a byte (copy), or to one that was deleted (restore).
import { type Static, Type } from 'typebox';
import { includesRole } from '../../../auth/roles.ts';
import { type Digest, parseDigest } from '../../../oci/digest.ts';
import { parseRepositoryName } from '../../../oci/name.ts';
import { parseReference, referenceText } from '../../../oci/reference.ts';
import { noRepository } from '../../../registry/no-repository.ts';
import {
  type SetTag,
  type SetTagOutcome,
  type TagSet,
  tagHistoryActions,
} from '../../../storage/metadata-store.ts';
import type { ApiContext } from './context.ts';
import { checkPreconditions } from './entity-tags.ts';
import { invalidMember, notFound, Problem, parseMember } from './problem.ts';
import { roleOnRepository } from './repository-roles.ts';
import { type Call, created, found, type Routes } from './route.ts';
import { name, nullable, strict } from './schemas.ts';
import { repositoryIn, taggedPart, tagSchema } from './tag-shapes.ts';
import { shownTag, tagIn } from './tags.ts';

const changeMembers = {
  previousDigest: nullable(Type.String(), 'null: the tag is new.'),
  action: nullable(Type.Enum([...tagHistoryActions]), 'null: it pointed there already.'),
  copied: strict({
    manifests: Type.Integer(),
    bytes: Type.Integer({ description: 'Of blobs that the repository did not have; none was moved.' }),
  }),
  restored: Type.Array(Type.String(), { description: 'Manifests that were deleted and came back.' }),
  referrers: strict({
    copied: Type.Integer(),
    left: Type.Integer({
      description: 'Signatures, SBOMs and the like that stayed in the other repository.',
    }),
  }),
};
const setSchema = strict({ ...tagSchema.properties, change: strict(changeMembers) });
const planSchema = strict({ dryRun: Type.Literal(true), digest: Type.String(), ...changeMembers });
const bodySchema = strict({
  digest: Type.Optional(
    Type.String({ maxLength: 200, description: 'A manifest of this repository; a deleted one comes back.' }),
  ),
  from: Type.Optional(
    strict({
      repository: name,
      reference: Type.String({ minLength: 1, maxLength: 200, description: 'A tag or a digest.' }),
    }),
  ),
  referrers: Type.Optional(
    Type.Boolean({
      description: 'With `from`: whether signatures, SBOMs and the like are copied, too. false unless told.',
    }),
  ),
});

type Params = { readonly repository: string; readonly tag: string };
type PutCall = Call<Params, unknown, Static<typeof bodySchema>>;

export function tagSettingRoutes(routes: Routes, context: ApiContext): void {
  const { metadata } = context.registry;
  routes.declare('tags', 'PUT', '/repositories/:repository/-/tags/:tag', {
    need: ['write'],
    summary: 'Points a tag at a manifest: retags, copies from another repository, or restores.',
    description:
      'A copy needs the role read on the other repository and moves no bytes. A deleted manifest comes back for the role maintain. ' +
      'If-None-Match: * sets a new tag alone.',
    body: bodySchema,
    answers: { 200: setSchema, 201: setSchema },
    planned: planSchema,
    content: true,
    current: async ({ params }) => {
      const tag = await metadata.tags.find(repositoryIn(params.repository), tagIn(params.tag));
      return tag && taggedPart(tag);
    },
    plan: async (call) => {
      const { outcome: _outcome, ...plan } = await set(context, call, true);
      return show(plan);
    },
    handle: async (call) => {
      const { outcome: _outcome, digest: _digest, ...change } = await set(context, call, false);
      const repository = repositoryIn(call.params.repository);
      const { tag, shown } = await shownTag(context, repository, tagIn(call.params.tag));
      const body = { ...shown, change: show(change) };
      if (change.previousDigest !== undefined) return found(body, taggedPart(tag));
      const answer = created(`/repositories/${repository}/-/tags/${tag.name}`, body);
      return answer.kind === 'object' ? { ...answer, tagged: taggedPart(tag) } : answer;
    },
  });
}

function show<Change extends Pick<TagSet, 'previousDigest' | 'action'>>(change: Change) {
  return { ...change, previousDigest: change.previousDigest ?? null, action: change.action ?? null };
}

async function set(context: ApiContext, call: PutCall, dryRun: boolean): Promise<TagSet> {
  const { params, origin } = call;
  const repository = repositoryIn(params.repository);
  const from = await sourceOf(context, call);
  const input: SetTag = {
    repository,
    tag: tagIn(params.tag),
    from,
    referrers: call.body.referrers ?? false,
    mayRestore: includesRole(await roleOnRepository(context, call, repository), 'maintain'),
    create: context.config.access.createOnPush,
    expected: await expectedOf(context, call),
    dryRun,
    origin,
  };
  const outcome = await context.registry.tagging.set(input);
  if (outcome.outcome !== 'set') throw refusalOf(call, input, outcome);
  return outcome;
}

/** What the body names. The repository that it is copied from must be the caller's to read, or is answered as if it were not there. */
async function sourceOf(context: ApiContext, call: PutCall): Promise<SetTag['from']> {
  const { digest, from, referrers } = call.body;
  if ((digest === undefined) === (from === undefined))
    throw invalidMember('', 'give either the digest of a manifest of this repository, or from');
  if (from === undefined) {
    if (referrers !== undefined)
      throw invalidMember('/referrers', 'this goes with from: here they are already');
    return { digest: parseMember('/digest', () => parseDigest(digest ?? '')) };
  }
  const repository = parseMember('/from/repository', () => parseRepositoryName(from.repository));
  const reference = parseMember('/from/reference', () => parseReference(from.reference));
  if (!includesRole(await roleOnRepository(context, call, repository), 'read'))
    throw notFound(`repository ${repository}`);
  return { repository, reference: referenceText(reference) };
}

/** Pushes do not take turns with this: what the preconditions found is held to in the transaction, too. */
async function expectedOf(
  { registry }: ApiContext,
  { params, request: { headers } }: PutCall,
): Promise<Digest | 'absent' | undefined> {
  if (headers['if-match'] === undefined && headers['if-none-match'] === undefined) return undefined;
  const tag = await registry.metadata.tags.find(repositoryIn(params.repository), tagIn(params.tag));
  checkPreconditions(headers, tag && taggedPart(tag));
  return tag?.digest ?? 'absent';
}

function refusalOf(call: PutCall, input: SetTag, refused: Exclude<SetTagOutcome, TagSet>): Problem {
  const { repository, tag, from } = input;
  switch (refused.outcome) {
    case 'unknown':
      if (refused.what === 'repository') return notFound(`repository ${repository}`);
      return notFound(
        'digest' in from ? `manifest ${repository}@${from.digest}` : `manifest ${textOf(from)}`,
      );
    case 'restore-denied':
      return new Problem(
        'denied',
        `${call.request.rights?.name ?? 'anonymous'} may not do this: the manifest was deleted, and to bring it back takes the role maintain on the repository`,
      );
    case 'changed':
      return new Problem(
        'precondition-failed',
        `${repository}:${tag} was changed by somebody else meanwhile: read it again, and decide then`,
      );
    case 'too-many':
      return new Problem(
        'conflict',
        `more than ${refused.limit} manifests would be copied at once: copy what the index lists first, or use skopeo copy --all`,
      );
    case 'namespace-removed':
    case 'name-kept':
    case 'not-created':
      return new Problem('conflict', noRepository(repository, refused).message);
    default:
      return notWholeProblem(refused);
  }
}

function textOf(from: { readonly repository: string; readonly reference: string }): string {
  return `${from.repository}${from.reference.includes(':') ? '@' : ':'}${from.reference}`;
}

/** Why content cannot be given out again. */
export function notWholeProblem(refused: {
  readonly outcome: 'damaged' | 'incomplete';
  readonly digests: readonly Digest[];
}): Problem {
  const { outcome, digests } = refused;
  const named = `${digests.slice(0, 3).join(', ')}${digests.length > 3 ? ` and ${digests.length - 3} more` : ''}`;
  return outcome === 'damaged'
    ? new Problem(
        'conflict',
        `it needs blobs that are damaged: ${named}. A push of the same content heals them (berth scrub --repair looks for copies)`,
      )
    : new Problem('conflict', `it lists manifests that are gone for good: ${named}. Push them again first`);
}
