// What a server has acknowledged, what it may or may not have done when it was struck down, and the check that a server
// which came up again keeps all of the first and nothing half of the second.
import assert from 'node:assert/strict';
import { sha256 } from './images.ts';

const AT_A_TIME = 8;

/** `unsure`: the request was sent and no answer came. */
type State = 'stored' | 'absent' | 'unsure';

interface Thing {
  readonly repository: string;
  readonly digest: string;
  state: State;
  /** Digests of the blobs that a manifest refers to; empty for a blob. */
  readonly blobs: readonly string[];
}

/** An upload that was begun: `location` is the path that the server gave. */
export interface OpenUpload {
  location: string;
  readonly repository: string;
  readonly content: Buffer;
  /** The answer of the server to the last PATCH. */
  acknowledgedBytes: number;
  /** Once the closing PUT was sent, the session may be gone. */
  isClosing: boolean;
}

export interface Counts {
  readonly checked: number;
  readonly unsure: number;
  readonly resumed: number;
}

export class Ledger {
  readonly #things = new Map<string, Thing>();
  readonly #tags = new Map<string, Set<string | undefined>>();
  readonly #uploads = new Set<OpenUpload>();
  /** Keys of what was touched since the last check. */
  readonly #touched = new Set<string>();
  /** Answers that no client should have got. */
  readonly faults: string[] = [];

  get size(): number {
    return this.#things.size;
  }

  expectBlob(repository: string, digest: string): void {
    this.#expect({ repository, digest, state: 'unsure', blobs: [] }, 'blobs');
  }

  expectManifest(repository: string, digest: string, blobs: readonly string[], tag: string): void {
    this.#expect({ repository, digest, state: 'unsure', blobs }, 'manifests');
    this.#touchTag(repository, tag).add(digest);
  }

  /** The server said that the blob or manifest is stored, or is gone. */
  acknowledge(kind: 'blobs' | 'manifests', repository: string, digest: string, state: State): void {
    const thing = this.#things.get(keyOf(kind, repository, digest));
    assert(thing !== undefined, `${digest} was not expected`);
    thing.state = state;
  }

  acknowledgeTag(repository: string, tag: string, digest: string | undefined): void {
    const possible = this.#touchTag(repository, tag);
    possible.clear();
    possible.add(digest);
  }

  expectTagDelete(repository: string, tag: string): void {
    this.#touchTag(repository, tag).add(undefined);
  }

  expectBlobDelete(repository: string, digest: string): void {
    this.#expect({ repository, digest, state: 'unsure', blobs: [] }, 'blobs', true);
  }

  /** Before the delete of a manifest: it and all tags that may point to it are unsure. */
  expectManifestDelete(repository: string, digest: string): void {
    this.#expect({ repository, digest, state: 'unsure', blobs: [] }, 'manifests', true);
    for (const tag of this.#tagsAt(repository, digest)) this.expectTagDelete(repository, tag);
  }

  acknowledgeManifestDelete(repository: string, digest: string): void {
    this.acknowledge('manifests', repository, digest, 'absent');
    for (const tag of this.#tagsAt(repository, digest)) this.acknowledgeTag(repository, tag, undefined);
  }

  /** The digest that a tag surely has now. */
  findTag(repository: string, tag: string): string | undefined {
    const possible = this.#tags.get(`${repository}:${tag}`);
    return possible?.size === 1 ? [...possible][0] : undefined;
  }

  beginUpload(upload: OpenUpload): void {
    this.#uploads.add(upload);
  }

  endUpload(upload: OpenUpload): void {
    this.#uploads.delete(upload);
  }

  /** The uploads in progress need not survive: what a PATCH acknowledges survives a process, not a power cut. */
  forgetUploads(): void {
    this.#uploads.clear();
  }

  /**
   * Asks the server for everything touched since the last check and for `others` more things (all of them: Infinity),
   * and finishes the uploads that were open. What was unsure is certain afterwards. Throws with every broken promise.
   */
  async check(url: string, others: number): Promise<Counts> {
    const broken = [...this.faults];
    const report = async (work: () => Promise<void>) => {
      try {
        await work();
      } catch (fault) {
        broken.push(fault instanceof Error ? fault.message : String(fault));
      }
    };
    const keys = [...this.#things.keys()];
    const older = keys.filter((key) => !this.#touched.has(key));
    const chosen = others === Infinity ? older : pick(older, others);
    const things = [...keys.filter((key) => this.#touched.has(key)), ...chosen].map((key) => this.#find(key));
    const unsure = things.filter(({ thing }) => thing.state === 'unsure').length;
    await inParallel(things, ({ kind, thing }) => report(() => checkThing(url, kind, thing)));
    const tags = [...this.#tags.keys()].filter((key) => others === Infinity || this.#touched.has(key));
    await inParallel(tags, (key) => report(() => this.#checkTag(url, key)));
    const uploads = [...this.#uploads];
    await inParallel(uploads, (upload) => report(() => this.#resume(url, upload)));
    this.#touched.clear();
    this.#uploads.clear();
    assert.deepEqual(broken, []);
    return { checked: things.length + tags.length, unsure, resumed: uploads.length };
  }

  #expect(thing: Thing, kind: 'blobs' | 'manifests', isDelete = false): void {
    const key = keyOf(kind, thing.repository, thing.digest);
    const known = this.#things.get(key);
    this.#touched.add(key);
    if (known === undefined) this.#things.set(key, thing);
    else if (known.state === 'absent' || isDelete) known.state = 'unsure';
  }

  #touchTag(repository: string, tag: string): Set<string | undefined> {
    const key = `${repository}:${tag}`;
    this.#touched.add(key);
    const known = this.#tags.get(key) ?? new Set([undefined]);
    this.#tags.set(key, known);
    return known;
  }

  #tagsAt(repository: string, digest: string): string[] {
    return [...this.#tags]
      .filter(([key, possible]) => key.startsWith(`${repository}:`) && possible.has(digest))
      .map(([key]) => key.slice(repository.length + 1));
  }

  #find(key: string): { kind: string; thing: Thing } {
    const thing = this.#things.get(key);
    assert(thing !== undefined);
    return { kind: key.slice(0, key.indexOf(' ')), thing };
  }

  async #checkTag(url: string, key: string): Promise<void> {
    const possible = this.#tags.get(key) ?? new Set();
    const [repository = '', tag = ''] = key.split(':');
    const response = await fetch(`${url}/v2/${repository}/manifests/${tag}`);
    const bytes = Buffer.from(await response.arrayBuffer());
    assert([200, 404].includes(response.status), `tag ${key}: ${response.status}`);
    const digest = response.status === 200 ? sha256(bytes) : undefined;
    const allowed = [...possible].map((entry) => entry ?? 'absent').join(' or ');
    assert(possible.has(digest), `tag ${key} has ${digest ?? 'gone'} instead of ${allowed}`);
    possible.clear();
    possible.add(digest);
    if (digest === undefined) return;
    const { thing } = this.#find(keyOf('manifests', repository, digest));
    await checkThing(url, 'manifests', thing);
    assert.equal(thing.state, 'stored', `tag ${key} points to ${digest}, which is not there`);
  }

  async #resume(url: string, upload: OpenUpload): Promise<void> {
    const { content, repository } = upload;
    const digest = sha256(content);
    const status = await fetch(new URL(upload.location, url));
    if (upload.isClosing && status.status === 404) return;
    assert.equal(status.status, 204, `upload ${upload.location}: ${status.status} ${await status.text()}`);
    const offset = offsetOf(status);
    assert(
      offset >= upload.acknowledgedBytes && offset <= content.length,
      `upload ${upload.location} is at ${offset}, and ${upload.acknowledgedBytes} bytes were acknowledged`,
    );
    const location = new URL(status.headers.get('location') ?? '', url);
    location.searchParams.set('digest', digest);
    this.expectBlob(repository, digest);
    const closed = await fetch(location, { method: 'PUT', body: content.subarray(offset) });
    assert.equal(closed.status, 201, `resumed at ${offset}: ${closed.status} ${await closed.text()}`);
    this.acknowledge('blobs', repository, digest, 'stored');
    await checkThing(url, 'blobs', this.#find(keyOf('blobs', repository, digest)).thing);
  }
}

/** How many bytes an upload has, from the `Range` of an answer about it. An empty one and one of a byte look alike. */
export function offsetOf(response: Response): number {
  const range = /^0-(\d+)$/.exec(response.headers.get('range') ?? '');
  assert(range !== null, `no Range in the answer: ${response.headers.get('range')}`);
  return range[1] === '0' ? 0 : Number(range[1]) + 1;
}

/** Runs the work on all items, a few at a time. */
export async function inParallel<Item>(items: readonly Item[], work: (item: Item) => Promise<void>) {
  const waiting = [...items];
  const worker = async () => {
    for (let item = waiting.pop(); item !== undefined; item = waiting.pop()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
}

async function checkThing(url: string, kind: string, thing: Thing): Promise<void> {
  const name = `${thing.state} ${kind} ${thing.repository} ${thing.digest}`;
  const response = await fetch(`${url}/v2/${thing.repository}/${kind}/${thing.digest}`);
  const bytes = Buffer.from(await response.arrayBuffer());
  if (response.status === 404) {
    assert.notEqual(thing.state, 'stored', `${name} is lost`);
    thing.state = 'absent';
    return;
  }
  assert.equal(response.status, 200, `${name}: ${response.status}`);
  assert.notEqual(thing.state, 'absent', `${name} is there`);
  assert.equal(sha256(bytes), thing.digest, `${name} has other bytes`);
  thing.state = 'stored';
  for (const digest of thing.blobs) {
    const blob = await fetch(`${url}/v2/${thing.repository}/blobs/${digest}`);
    assert.equal(sha256(Buffer.from(await blob.arrayBuffer())), digest, `${name}: its blob ${digest}`);
  }
}

function keyOf(kind: string, repository: string, digest: string): string {
  return `${kind} ${repository} ${digest}`;
}

function pick<Item>(items: readonly Item[], count: number): Item[] {
  if (items.length <= count) return [...items];
  return Array.from({ length: count }, () => items[Math.floor(Math.random() * items.length)]).filter(
    (item) => item !== undefined,
  );
}
