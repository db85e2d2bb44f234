// Where things are below the store's folder:
//   blobs/<algorithm>/<2 hex>/<hex>.<ulid>   a blob; its location is the part after `blobs/`
//   uploads/<id>                             the bytes of an upload so far
//   uploads/.adopt-<uuid>                    a second name of a file that is being taken over
// Ids and locations come from rows, yet nothing that could leave the folder ever becomes a path.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { monotonicFactory } from 'ulid';
import { algorithmOf, type Digest, hexOf } from '../../oci/digest.ts';
import type { Location } from '../blob-store.ts';

const nextUlid = monotonicFactory();
const uploadIdPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;
const locationPattern =
  /^(?:sha256\/([a-f0-9]{2})\/([a-f0-9]{64})|sha512\/([a-f0-9]{2})\/([a-f0-9]{128}))\.[0-9A-HJKMNP-TV-Z]{26}$/;

/** What the names of files begin with that are being taken over; those that a killed process left are removed at the start. */
export const adoptionPrefix = '.adopt-';

export class Layout {
  readonly blobs: string;
  readonly uploads: string;

  constructor(folder: string) {
    this.blobs = join(folder, 'blobs');
    this.uploads = join(folder, 'uploads');
  }

  /** The file of a blob. Throws TypeError for what this store never made. */
  blobPath(location: Location): string {
    if (!isLocation(location)) throw new TypeError(`not a location of the disk store: ${shown(location)}`);
    return `${this.blobs}/${location}`;
  }

  /** A name for a file on its way to become a blob. It is no upload id, so that no sweep takes it for one. */
  newAdoptionPath(): string {
    return `${this.uploads}/${adoptionPrefix}${randomUUID()}`;
  }

  /** The staging file of an upload. Throws TypeError for an id that could be anything but a plain file name. */
  uploadPath(id: string): string {
    if (!isUploadId(id)) throw new TypeError(`not an upload id of the disk store: ${shown(id)}`);
    return `${this.uploads}/${id}`;
  }
}

/** True for a plain name: letters, digits, `_` and `-`, at most 128 of them. */
export function isUploadId(text: string): boolean {
  return uploadIdPattern.test(text);
}

/** True for a location as `newLocation` makes them. */
export function isLocation(text: string): text is Location {
  const match = locationPattern.exec(text);
  if (match === null) return false;
  const folder = match[1] ?? match[3];
  const hex = match[2] ?? match[4];
  return folder !== undefined && hex?.startsWith(folder) === true;
}

/** A location for content with this digest that was never used before and never will be again. */
export function newLocation(digest: Digest): Location {
  return `${folderOf(digest)}/${hexOf(digest)}.${nextUlid()}` as Location;
}

/** The digest that a location was made for. */
export function digestIn(location: Location): Digest {
  const [algorithm, , name = ''] = location.split('/');
  return `${algorithm}:${name.slice(0, name.indexOf('.'))}` as Digest;
}

/** The folder, below `blobs`, of everything with this digest. */
export function folderOf(digest: Digest): string {
  return `${algorithmOf(digest)}/${hexOf(digest).slice(0, 2)}`;
}

function shown(text: unknown): string {
  return JSON.stringify(String(text).slice(0, 200));
}
