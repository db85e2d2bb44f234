// `berth usage`: what takes the space, and what deleting something would free.
import type { Command } from 'commander';
import { type Api, path } from '../client/api.ts';
import type { BlobCount, QuotaUse } from '../client/care-shapes.ts';
import { ProblemError } from '../client/problem.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { type OutputOptions, printFacts, printJson, tableText } from '../output/print.ts';
import { numberText } from '../output/progress.ts';
import { countText } from '../output/text.ts';
import { sizeText } from '../size-text.ts';
import { type Call, define } from './define.ts';

interface UsageOptions {
  readonly freeBy?: readonly string[];
}

interface RegistryUsage {
  readonly stored: BlobCount;
  readonly shared: BlobCount;
  readonly reclaimable: BlobCount;
  readonly held: readonly (BlobCount & { readonly reason: string })[];
  readonly namespaces: readonly QuotaUse[];
}

interface RepositoryUsage {
  readonly own: BlobCount;
  readonly shared: BlobCount;
  readonly tags: readonly { readonly name: string; readonly exclusive: BlobCount }[];
  readonly moreTags: boolean;
}

/** null: for those who may read all of the namespace. */
type NamespaceUsage = Omit<QuotaUse, 'used' | 'limit'> & {
  readonly used: QuotaUse['used'] | null;
  readonly limit: QuotaUse['limit'] | null;
};

interface FreedBy {
  readonly manifests: number;
  readonly exclusive: BlobCount;
  readonly shared: BlobCount;
}

export function addUsage(program: Command, context: CommandContext): void {
  define<UsageOptions>(program, context, {
    usage: 'usage [namespace|repository]',
    about: 'what takes the space, and what deleting something would free',
    notes:
      'Without an argument the whole registry. --free-by takes tags and digests of a repository: bytes that something else needs\n' +
      'stay, whatever is deleted.',
    examples: ['usage', 'usage acme', 'usage acme/web', 'usage acme/web --free-by v1 v2 sha256:…'],
    options: (command) =>
      command.option(
        '--free-by <reference...>',
        'what would come free if these tags and manifests were deleted',
      ),
    prints: 'one',
    quiet: 'the bytes alone',
    referenceAt: 0,
    check: ([name], { freeBy }) => {
      if (freeBy !== undefined && name === undefined)
        throw new CommandError(
          exitCodes.wrongUsage,
          '--free-by: of which repository? berth usage REPOSITORY --free-by …',
        );
    },
    run: async (call) => {
      const [name] = call.args;
      if (name === undefined) await showRegistry(call);
      else if (call.options.freeBy !== undefined) await showFreed(call, name, call.options.freeBy);
      else if (name.includes('/')) await showRepository(call, name);
      else await showNamespace(call, name);
    },
  });
}

async function showRegistry({ api, options, context }: Call<UsageOptions>): Promise<void> {
  const usage = await api.get<RegistryUsage>('usage');
  if (printedShort(usage, usage.stored.bytes, options, context)) return;
  const { stored, shared, reclaimable, held, namespaces } = usage;
  printFacts(
    [
      ['stored', blobsText(stored)],
      ['shared', `${blobsText(shared)}, in more than one repository`],
      ['reclaimable', `${blobsText(reclaimable)} (berth gc)`],
      ...held.map(
        ({ reason, ...count }) => ['held', `${blobsText(count)} ${reasons[reason] ?? reason}`] as const,
      ),
    ],
    context,
  );
  const rows = namespaces.map(({ namespace, used, limit }) => [
    namespace ?? '',
    sizeText(used.bytes),
    typeof limit.bytes === 'number' ? sizeText(limit.bytes) : '',
    numberText(used.repositories),
  ]);
  if (rows.length > 0)
    context.stdout.write(`\n${tableText(['NAMESPACE', 'USED', 'QUOTA', 'REPOSITORIES'], rows)}`);
}

const reasons: Readonly<Record<string, string>> = {
  undelete: 'deleted and restorable still (berth gc --now gives it up)',
  lease: 'pushed or seen by clients not long ago; comes free by itself',
};

/** A name without a slash may also be a repository's. */
async function showNamespace(call: Call<UsageOptions>, name: string): Promise<void> {
  const { api, options, context } = call;
  let use: NamespaceUsage;
  try {
    use = await api.get<NamespaceUsage>(path`namespaces/${name}/usage`);
  } catch (error) {
    if (!(error instanceof ProblemError) || error.problem.code !== 'not-found') throw error;
    await showRepository(call, name);
    return;
  }
  const { used, limit } = use;
  if (printedShort(use, used?.bytes ?? 0, options, context)) return;
  if (used === null || limit === null) {
    const message = `what ${name} uses is for those who may read all of it; ask for a repository: berth usage ${name}/NAME`;
    throw new CommandError(exitCodes.notAllowed, message);
  }
  const limitOf = (value: QuotaUse['limit']['bytes'], text: (value: number) => string): string =>
    typeof value === 'number' ? ` of ${text(value)}` : '';
  printFacts(
    [
      ['namespace', name],
      ['used', `${sizeText(used.bytes)}${limitOf(limit.bytes, sizeText)}`],
      ['repositories', `${numberText(used.repositories)}${limitOf(limit.repositories, numberText)}`],
    ],
    context,
  );
}

async function showRepository({ api, options, context }: Call<UsageOptions>, name: string): Promise<void> {
  const usage = await api.get<RepositoryUsage>(placeOf(name));
  const { own, shared, tags, moreTags } = usage;
  if (printedShort(usage, own.bytes + shared.bytes, options, context)) return;
  printFacts(
    [
      ['repository', name],
      ['own', blobsText(own)],
      ['shared', `${blobsText(shared)}, with other repositories`],
    ],
    context,
  );
  const rows = tags.map((tag) => [tag.name, sizeText(tag.exclusive.bytes)]);
  if (rows.length > 0) context.stdout.write(`\n${tableText(['TAG', 'ITS DELETION FREES'], rows)}`);
  if (moreTags) context.stderr.write(`these are the first ${rows.length} tags; --free-by tells of others\n`);
}

async function showFreed(
  { api, options, context }: Call<UsageOptions>,
  name: string,
  references: readonly string[],
): Promise<void> {
  const usage = await readFreed(api, name, references);
  if (printedShort(usage, usage.exclusive.bytes, options, context)) return;
  const { manifests, exclusive, shared } = usage;
  const { stdout } = context;
  stdout.write(`would free ${blobsText(exclusive)} with ${countText(manifests, 'manifest')}\n`);
  if (shared.blobs > 0) stdout.write(`would stay ${blobsText(shared)} that something else needs too\n`);
}

function readFreed(api: Api, name: string, references: readonly string[]): Promise<FreedBy> {
  const wanted = references.map((reference) => wantedText(name, reference)).join(',');
  return api.get<FreedBy>(placeOf(name), { delete: wanted });
}

/** "tag:v1" or "sha256:…" for v1, :v1, acme/web:v1, @sha256:…, sha256:… and acme/web@sha256:… of repository acme/web. */
export function wantedText(repository: string, reference: string): string {
  const rest = reference.startsWith(repository) ? reference.slice(repository.length) : '';
  const bare = (/^[:@]/.test(rest) ? rest : reference).replace(/^[:@]/, '');
  return /^(sha256|sha512):/.test(bare) ? bare : `tag:${bare}`;
}

function placeOf(repository: string): string {
  return `repositories/${repository.split('/').map(encodeURIComponent).join('/')}/-/usage`;
}

function printedShort(
  value: unknown,
  bytes: number,
  options: OutputOptions,
  context: CommandContext,
): boolean {
  if (options.json) printJson(value, context);
  else if (options.quiet) context.stdout.write(`${bytes}\n`);
  return options.json === true || options.quiet === true;
}

function blobsText({ blobs, bytes }: BlobCount): string {
  return `${sizeText(bytes)} (${countText(blobs, 'blob')})`;
}
