// The scrub: looks whether everything still is what it was when it came. Every row's file, every file's row, every manifest's
// edges, every count, the database itself. A damaged blob is quarantined: unknown to clients until its content is pushed again.
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import { parseManifest } from '../oci/manifest.ts';
import type { BlobStore, Location } from '../storage/blob-store.ts';
import type {
  BlobToCheck,
  CountFault,
  IntegrityResult,
  ManifestToCheck,
  OperationReport,
  ScrubStore,
} from '../storage/care-store.ts';
import type { MetadataStore } from '../storage/metadata-store.ts';
import { type ContentFault, findDeepFault, findShallowFault, type Pace, unhurried } from './content-check.ts';
import type { OperationRun } from './operations.ts';
import type { Placements } from './placements.ts';
import type { WriteGate } from './writes.ts';

const batch = 100;
/** Manifests may be of 4 MiB: few at a time. */
const manifestBatch = 20;
/** Faults that a report names; it counts all. */
const faultsNamed = 100;

export interface ScrubRequest {
  /** Reads every byte, instead of looking at the length alone. */
  readonly deep: boolean;
  /** Mends what can be mended from what is there. Without it damage is quarantined, and no more. */
  readonly repair: boolean;
}

export interface FoundDamage {
  readonly digest: Digest;
  readonly location: Location;
  readonly found: ContentFault;
}

export interface ScrubReport extends OperationReport {
  readonly deep: boolean;
  readonly database: IntegrityResult;
  readonly blobs: {
    readonly checked: number;
    readonly bytes: number;
    /** Found by this run and quarantined. */
    readonly damaged: number;
    /** Quarantined before. */
    readonly known: number;
    /** Out of quarantine: the file is sound again, or there was another copy of the content. */
    readonly healed: number;
  };
  /** Files that no row names: the collector removes them when they are a day old. */
  readonly unknownFiles: { readonly files: number; readonly bytes: number };
  readonly manifests: { readonly checked: number; readonly damaged: number; readonly edgesMissing: number };
  readonly links: { readonly wrong: number };
  /** Totals, and what namespaces and repositories are said to have. */
  readonly counts: { readonly wrong: number };
  /** The first of all that was found, in words. */
  readonly faults: readonly string[];
  readonly repaired: boolean;
  readonly sound: boolean;
}

export interface ScrubOptions {
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
  readonly writes: WriteGate;
  readonly placements: Placements;
  readonly onDamage: (damage: FoundDamage) => void;
}

/** What one run has found so far. */
class Findings {
  checked = 0;
  bytes = 0;
  damaged = 0;
  known = 0;
  healed = 0;
  files = 0;
  fileBytes = 0;
  manifests = 0;
  damagedManifests = 0;
  edgesMissing = 0;
  wrongLinks = 0;
  wrongCounts = 0;
  readonly faults: string[] = [];

  name(fault: string): void {
    if (this.faults.length < faultsNamed) this.faults.push(fault);
  }
}

export class Scrub {
  readonly #options: ScrubOptions;
  readonly #store: ScrubStore;

  constructor(options: ScrubOptions) {
    this.#options = options;
    this.#store = options.metadata.care.scrub;
  }

  /** One pass over everything, as the work of an operation. */
  async scrub(run: OperationRun, request: ScrubRequest): Promise<ScrubReport> {
    const findings = new Findings();
    const totals = await this.#options.metadata.repositories.totals();
    const total = totals.blobs + totals.manifests;
    const tell = (): void => run.progress(findings.checked + findings.manifests, total);
    const database = await this.#store.checkIntegrity({ deep: request.deep, signal: run.signal });
    for (const fault of database.faults) findings.name(`database: ${fault}`);
    await this.#checkBlobs(run, request, findings, tell);
    await this.#checkFiles(run, request, findings);
    await this.#checkManifests(run, request, findings, tell);
    await this.#checkLinks(run, request, findings);
    await this.#checkCounts(run, request, findings);
    return toReport(request, database, findings);
  }

  /**
   * Checks one blob by all its bytes; a fault is quarantined at once. `sound` is told to the store by the caller, many at a time.
   * `changed`: it was moved or collected meanwhile.
   */
  async checkDeep(
    blob: BlobToCheck,
    pace: Pace,
    signal: AbortSignal,
  ): Promise<'sound' | 'damaged' | 'changed'> {
    const fault = await findDeepFault(this.#options.blobs, blob, { pace, signal });
    if (fault === undefined) return 'sound';
    return (await this.#quarantine(blob, fault)) ? 'damaged' : 'changed';
  }

  async #checkBlobs(run: OperationRun, request: ScrubRequest, findings: Findings, tell: () => void) {
    for (let after = 0; ; await run.step()) {
      const blobs = await this.#store.listBlobs({ after, limit: batch });
      const sound: Location[] = [];
      for (const blob of blobs) {
        if (await this.#checkBlob(run, request, findings, blob)) sound.push(blob.location);
        findings.checked += 1;
        findings.bytes += blob.size;
        if (request.deep) {
          tell();
          run.signal.throwIfAborted();
        }
      }
      if (sound.length > 0) await this.#write(() => this.#store.noteSound(sound));
      tell();
      const last = blobs.at(-1);
      if (last === undefined || blobs.length < batch) return;
      after = last.cursor;
    }
  }

  /** True when all its bytes were seen to be sound. */
  async #checkBlob(run: OperationRun, request: ScrubRequest, findings: Findings, blob: BlobToCheck) {
    const { blobs } = this.#options;
    const { signal } = run;
    // What is quarantined comes out again only after all of it was read.
    if (blob.damaged && !request.repair) {
      findings.known += 1;
      findings.name(`blob ${blob.digest}: damaged, known before`);
      return false;
    }
    const deep = request.deep || blob.damaged;
    const fault = deep
      ? await findDeepFault(blobs, blob, { pace: unhurried, signal })
      : await findShallowFault(blobs, blob);
    if (fault === undefined) {
      if (blob.damaged) findings.healed += 1;
      return deep;
    }
    if (blob.damaged) {
      findings.known += 1;
      findings.name(`blob ${blob.digest}: ${fault}, known before`);
    } else if (await this.#quarantine(blob, fault)) {
      findings.damaged += 1;
      findings.name(`blob ${blob.digest}: ${fault}`);
    }
    return false;
  }

  async #quarantine(blob: BlobToCheck, found: ContentFault): Promise<boolean> {
    const { digest, location } = blob;
    // It holds for this very location: a blob that was pushed again meanwhile has another.
    if (!(await this.#write(() => this.#options.metadata.blobs.markDamaged(location)))) return false;
    this.#options.onDamage({ digest, location, found });
    return true;
  }

  /** Counts files without a row, and gives damaged blobs the copies that are among them. */
  async #checkFiles(run: OperationRun, request: ScrubRequest, findings: Findings): Promise<void> {
    const { blobs, metadata } = this.#options;
    let files: { location: Location; digest: Digest; size: number }[] = [];
    const judge = async (): Promise<void> => {
      const unknown = new Set(
        await metadata.care.collector.filterUnknown(files.map((file) => file.location)),
      );
      for (const file of files) {
        if (!unknown.has(file.location)) continue;
        if (request.repair && (await this.#adopt(run, file))) {
          findings.healed += 1;
          continue;
        }
        findings.files += 1;
        findings.fileBytes += file.size;
      }
      files = [];
      await run.step();
    };
    for await (const file of blobs.list()) {
      files.push(file);
      if (files.length === batch) await judge();
    }
    await judge();
  }

  async #adopt(run: OperationRun, file: { location: Location; digest: Digest; size: number }) {
    const { placements, blobs } = this.#options;
    const adopted = await placements.alone(file.digest, async () => {
      const fault = await findDeepFault(blobs, file, { pace: unhurried, signal: run.signal });
      if (fault !== undefined) return false;
      const { digest, location: to, size } = file;
      return await this.#write(() => this.#store.adoptCopy({ digest, to, size }));
    });
    return adopted === true;
  }

  async #checkManifests(run: OperationRun, request: ScrubRequest, findings: Findings, tell: () => void) {
    for (let after = 0; ; await run.step()) {
      const manifests = await this.#store.listManifests({ after, limit: manifestBatch });
      for (const manifest of manifests) {
        findings.manifests += 1;
        const missing = findMissingEdges(manifest);
        if (missing === undefined) {
          findings.damagedManifests += 1;
          findings.name(`manifest ${manifest.repository}@${manifest.digest}: its bytes changed`);
          continue;
        }
        const count = missing.blobs.length + missing.children.length;
        if (count === 0) continue;
        findings.edgesMissing += count;
        findings.name(
          `manifest ${manifest.repository}@${manifest.digest}: ${count} references without a row`,
        );
        const { repository, digest } = manifest;
        if (request.repair)
          await this.#write(() => this.#store.repairEdges({ repository, digest, ...missing }));
      }
      tell();
      const last = manifests.at(-1);
      if (last === undefined || manifests.length < manifestBatch) return;
      after = last.cursor;
    }
  }

  async #checkLinks(run: OperationRun, request: ScrubRequest, findings: Findings): Promise<void> {
    const { repair } = request;
    let after: readonly [number, number] | undefined = [0, 0];
    for (; after !== undefined; await run.step()) {
      const from: readonly [number, number] = after;
      const page = await this.#write(() => this.#store.checkLinks({ after: from, limit: batch, repair }));
      findings.wrongLinks += page.faults;
      after = page.next;
    }
    if (findings.wrongLinks > 0) findings.name(`${findings.wrongLinks} links whose lease does not fit`);
  }

  /** Last: what was mended before may have changed what there is to count. */
  async #checkCounts(run: OperationRun, request: ScrubRequest, findings: Findings): Promise<void> {
    for (let more = true; more; ) {
      const found = await this.#store.checkCounts({ signal: run.signal });
      findings.wrongCounts += found.faults.length;
      for (const fault of found.faults) findings.name(countText(fault));
      for (let at = 0; request.repair && at < found.faults.length; at += batch) {
        await this.#write(() => this.#store.repairCounts(found.faults.slice(at, at + batch)));
        await run.step();
      }
      // Without a repair the next look would find the same ones.
      more = request.repair && found.more;
    }
  }

  #write<Result>(change: () => Promise<Result>): Promise<Result> {
    return this.#options.writes.withBallast(change);
  }
}

function countText(fault: CountFault): string {
  switch (fault.count) {
    case 'total':
      return `the total of ${fault.of}s is off by ${-fault.items} and ${-fault.bytes} bytes`;
    case 'manifests':
      return `repository ${fault.of}: the count of its manifests is off by ${-fault.items}`;
    case 'tags':
      return `repository ${fault.of}: the count of its tags is off by ${-fault.items}`;
    case 'taken':
      return `repository ${fault.of}: what it takes is off by ${-fault.linkedBytes} bytes, of its own ${-fault.ownBytes}`;
    case 'summary':
      return `manifest ${fault.of}: lists do not know it`;
    case 'size':
      return `manifest ${fault.of}: its size is off by ${-fault.bytes} bytes`;
    case 'tagged':
      return `manifest ${fault.of}: the count of its tags is off by ${-fault.items}`;
    case 'used':
      return `namespace ${fault.of}: what it uses is off by ${-fault.bytes} bytes`;
    case 'links':
      return `blob ${fault.blobId} in namespace ${fault.namespaceId}: the count of its repositories is wrong`;
  }
}

/** References of a manifest that have no row; undefined when its bytes are not what they were. */
function findMissingEdges(manifest: ManifestToCheck) {
  const { bytes, digest, mediaType } = manifest;
  if (digestOf(bytes, algorithmOf(digest)) !== digest) return undefined;
  const known = new Set([...manifest.blobs, ...manifest.children, ...manifest.missing]);
  const lacks = (reference: Digest): boolean => !known.has(reference);
  const { blobs, children } = parseManifest(bytes, mediaType, { digest });
  return { blobs: blobs.filter(lacks), children: children.filter(lacks) };
}

function toReport(request: ScrubRequest, database: IntegrityResult, findings: Findings): ScrubReport {
  const { checked, bytes, damaged, known, healed, edgesMissing, wrongLinks, wrongCounts, faults } = findings;
  const manifests = { checked: findings.manifests, damaged: findings.damagedManifests, edgesMissing };
  const mended = request.repair ? 0 : edgesMissing + wrongLinks + wrongCounts;
  return {
    deep: request.deep,
    database,
    blobs: { checked, bytes, damaged, known, healed },
    unknownFiles: { files: findings.files, bytes: findings.fileBytes },
    manifests,
    links: { wrong: wrongLinks },
    counts: { wrong: wrongCounts },
    faults,
    repaired: request.repair,
    sound: database.sound && damaged + known + manifests.damaged + mended === 0,
  };
}
