// Carries repositories from a source into the registry, through its own rules: every blob is verified, every manifest is
// parsed and checked, history and events say `import`. What is here already is not carried again, so that an import that was
// cut short goes on where it was.
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/errors.ts';
import { parseManifest } from '../oci/manifest.ts';
import { parseRepositoryName, type RepositoryName } from '../oci/name.ts';
import { parseTag, type Tag } from '../oci/reference.ts';
import { allDone, inParallel } from '../registry/in-parallel.ts';
import type { WorkRun } from '../registry/operation-run.ts';
import { ruleText } from '../registry/protection.ts';
import type { Registry } from '../registry/registry.ts';
import { TagProtectedError } from '../storage/protection-store.ts';
import { BlobCarrier } from './blob-carrier.ts';
import { type FindingKind, ImportReport, importOrigin } from './report.ts';
import { type ImportSource, SourceFault, type SourceManifest, type SourceRepository } from './source.ts';

export interface ImportOptions {
  /** Manifests and blobs at a time; by default what suits the source. */
  readonly parallel?: number | undefined;
  /** Moves tags, too, that somebody else has set or removed here since. */
  readonly overwrite?: boolean | undefined;
  /** Blobs of files get a second name where they can; false: they are always copied. */
  readonly link?: boolean | undefined;
}

/**
 * Imports all of a source. Resolves also where things were left out: the report tells of them. Throws what keeps the registry
 * itself from taking content (a full disk, read-only, a failed medium) and what makes the source useless as a whole.
 */
export async function runImport(
  registry: Registry,
  source: ImportSource,
  options: ImportOptions,
  run: WorkRun,
): Promise<ImportReport> {
  const report = new ImportReport();
  const repositories = await source.listRepositories();
  report.repositories.total = repositories.length;
  const parallel = options.parallel ?? source.parallel;
  const carrier = new BlobCarrier({ registry, report, run, parallel, link: options.link ?? true });
  for (const repository of repositories) {
    await run.step();
    let name: RepositoryName | undefined;
    try {
      name = parseRepositoryName(repository.name);
    } catch (error) {
      report.note({ kind: 'invalid', repository: repository.name, detail: messageOf(error) });
    }
    if (name !== undefined) {
      const surroundings = {
        registry,
        report,
        run,
        parallel,
        carrier,
        overwrite: options.overwrite ?? false,
      };
      await new RepositoryImport(name, repository, surroundings).run();
    }
    report.repositories.done++;
    run.progress(report.repositories.done, report.repositories.total, report.figures());
  }
  return report;
}

interface Surroundings {
  readonly registry: Registry;
  readonly report: ImportReport;
  readonly run: WorkRun;
  readonly parallel: number;
  readonly carrier: BlobCarrier;
  readonly overwrite: boolean;
}

/** `absent`: the source has no such manifest. */
type Carried = 'here' | 'absent' | 'left out';

class RepositoryImport {
  readonly #name: RepositoryName;
  readonly #source: SourceRepository;
  readonly #around: Surroundings;
  readonly #tags = new Map<Digest, Tag[]>();
  readonly #manifests = new Map<Digest, Promise<Carried>>();
  /** Here now, and not asked for referrers yet. */
  #unasked: Digest[] = [];

  constructor(name: RepositoryName, source: SourceRepository, around: Surroundings) {
    this.#name = name;
    this.#source = source;
    this.#around = around;
  }

  async run(): Promise<void> {
    const { parallel } = this.#around;
    try {
      await inParallel(this.#source.listTags(), parallel, (tag) => this.#resolve(tag));
      await inParallel(this.#tags.keys(), parallel, (digest) => this.#carryRoot(digest));
      await inParallel(this.#source.listUntagged(), parallel, (digest) => this.#carryRoot(digest));
      while (this.#unasked.length > 0) {
        const subjects = this.#unasked;
        this.#unasked = [];
        await inParallel(subjects, parallel, (subject) => this.#carryReferrers(subject));
      }
    } catch (error) {
      if (!(error instanceof SourceFault)) throw error;
      this.#note(error.kind, error.message);
    }
  }

  async #carryRoot(digest: Digest): Promise<void> {
    await this.#carry(digest);
  }

  async #resolve(text: string): Promise<void> {
    await this.#around.run.step();
    try {
      const tag = parseTag(text);
      const digest = await this.#source.resolveTag(tag);
      const tags = digest && this.#tags.get(digest);
      if (digest === undefined) this.#note('deleted', 'the tag leads to nothing in the source', [tag]);
      else if (tags === undefined) this.#tags.set(digest, [tag]);
      else tags.push(tag);
    } catch (error) {
      if (error instanceof SourceFault) this.#note(error.kind, error.message, [text]);
      else if (error instanceof OciError) this.#note('invalid', error.message, [text]);
      else throw error;
    }
  }

  async #carryReferrers(subject: Digest): Promise<void> {
    await this.#around.run.step();
    for (const { digest, tag } of await this.#source.listReferrers(subject)) {
      if (tag !== undefined && !this.#tags.has(digest)) this.#tags.set(digest, [parseTag(tag)]);
      await this.#carry(digest);
    }
  }

  /** Brings a manifest with all below it and with its tags, once. */
  #carry(digest: Digest, listedAs?: string): Promise<Carried> {
    let carried = this.#manifests.get(digest);
    if (carried === undefined) {
      carried = this.#carryOnce(digest, listedAs);
      this.#manifests.set(digest, carried);
      // Somebody waits for each of them; a failure that comes before they do must not end the process.
      carried.catch(() => undefined);
    }
    return carried;
  }

  async #carryOnce(digest: Digest, listedAs: string | undefined): Promise<Carried> {
    const { registry, report, run } = this.#around;
    await run.step();
    const tags = this.#tags.get(digest) ?? [];
    try {
      const here = await registry.metadata.manifests.find(this.#name, { digest });
      const manifest = here ?? (await this.#source.readManifest(digest, listedAs));
      if (manifest === undefined) {
        if (tags.length > 0) this.#note('deleted', 'the source has no such manifest', tags, digest);
        return 'absent';
      }
      await this.#bringReferences(digest, manifest, here !== undefined);
      await this.#put(digest, manifest, tags, here !== undefined);
      this.#unasked.push(digest);
      run.progress(report.repositories.done, report.repositories.total, report.figures());
      return 'here';
    } catch (error) {
      this.#noteManifest(error, digest, tags);
      return 'left out';
    }
  }

  async #bringReferences(digest: Digest, { bytes, mediaType }: SourceManifest, here: boolean): Promise<void> {
    const { carrier } = this.#around;
    const { blobs, foreignBlobs, childTypes } = parseManifest(bytes, mediaType, { digest });
    const childrenDone = Array.from(childTypes, async ([child, type]) => {
      if ((await this.#carry(child, type)) !== 'absent') return;
      // A child may be a blob (a build cache).
      if (!here || (await this.#missing([child])).length > 0)
        await carrier.bring(this.#name, this.#source, child, 'optional');
    });
    const blobsDone = [
      // Of a manifest that is here already, what is damaged: it heals.
      ...(here ? await this.#missing(blobs) : blobs).map((blob) =>
        carrier.bring(this.#name, this.#source, blob, 'needed'),
      ),
      ...(here ? [] : foreignBlobs).map((blob) => carrier.bring(this.#name, this.#source, blob, 'optional')),
    ];
    await allDone([...childrenDone, ...blobsDone]);
  }

  async #missing(blobs: readonly Digest[]): Promise<readonly Digest[]> {
    const { metadata } = this.#around.registry;
    const found = await Promise.all(blobs.map((blob) => metadata.blobs.find(this.#name, blob)));
    return blobs.filter((_, index) => found[index] === undefined);
  }

  async #put(
    digest: Digest,
    { bytes, mediaType }: SourceManifest,
    tags: readonly Tag[],
    here: boolean,
  ): Promise<void> {
    const { registry, report } = this.#around;
    const { present, free } = await this.#sortTags(digest, tags);
    let set = free;
    for (let pushed = here && free.length === 0; !pushed; ) {
      const left = set;
      try {
        await registry.manifests.push({
          repository: this.#name,
          reference: { digest },
          tags: left,
          contentType: mediaType,
          bytes,
          origin: importOrigin,
        });
        pushed = true;
      } catch (error) {
        if (!(error instanceof TagProtectedError)) throw error;
        // The manifest comes all the same, without the tag that a rule keeps where it is.
        const { tag, held } = error.protection;
        this.#note('kept', `the tag is ${held.rule} here (${ruleText(held)})`, [tag], digest);
        set = left.filter((other) => other !== tag);
        pushed = here && set.length === 0;
      }
    }
    report.manifests[here ? 'present' : 'stored']++;
    report.tags.present += present;
    report.tags.stored += set.length;
  }

  /** Tags that point there already, and those that may be set: new ones, and such as an import has set. */
  async #sortTags(digest: Digest, tags: readonly Tag[]): Promise<{ present: number; free: readonly Tag[] }> {
    const { metadata } = this.#around.registry;
    const free: Tag[] = [];
    let present = 0;
    for (const tag of tags) {
      if ((await metadata.manifests.stat(this.#name, { tag }))?.digest === digest) {
        present++;
        continue;
      }
      const [last] = await metadata.events.tagHistory(this.#name, tag, 1);
      if (last === undefined || last.actor === importOrigin.actor || this.#around.overwrite) free.push(tag);
      else this.#note('kept', `the tag was changed here by ${last.actor}`, [tag], digest);
    }
    return { present, free };
  }

  #noteManifest(error: unknown, digest: Digest, tags: readonly Tag[]): void {
    const { kind, detail } = describeFault(error);
    this.#note(kind, detail, tags, digest);
  }

  #note(kind: FindingKind, detail: string, tags?: readonly string[], digest?: Digest): void {
    this.#around.report.note({ kind, repository: this.#name, digest, tags, detail });
  }
}

/** What a manifest was left out for. Throws what is no matter of this manifest alone. */
function describeFault(error: unknown): { kind: FindingKind; detail: string } {
  if (error instanceof SourceFault) return { kind: error.kind, detail: error.message };
  if (!(error instanceof OciError)) throw error;
  const { code, detail, message, status } = error;
  if (code === 'MANIFEST_BLOB_UNKNOWN') {
    const missing = (detail.missing as readonly string[] | undefined)?.join(', ') ?? '';
    const sparse = 'storage.sparseManifests: index takes an index whose children are not all there';
    return { kind: 'incomplete', detail: `it needs ${missing} (${sparse})` };
  }
  if (code === 'MANIFEST_INVALID')
    return { kind: detail.schemaVersion === 1 ? 'schema1' : 'invalid', detail: message };
  if (status >= 500 || code === 'TOOMANYREQUESTS') throw error;
  return { kind: 'refused', detail: message };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
