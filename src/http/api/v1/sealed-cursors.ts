// Cursors of lists that leave out what the caller may not see. A page of those may end at a row that was only looked at: a cursor that
// could be read would name it, and one that could be made by hand would step through them all.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { type CursorKey, type PageQuery, wrongCursor } from './pages.ts';

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;
/** All cursors are of one length, whatever they hold: the longest name with its order fits in. */
const paddedTo = 320;

/**
 * Seals and opens the cursors of one list. Each list has a key of its own, so that no other one's cursor opens; it lives as long as
 * the process, because no secret of the registry is there in every mode and stays the same. A cursor from before a restart is none.
 */
export class CursorSeal {
  readonly #key = randomBytes(32);

  /** The `next` of a page, as `open` reads it back. The order stands in it as the list's `Sorting` or `afterKeys` wants it. */
  seal(key: Exclude<CursorKey, Buffer>): Buffer {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv(algorithm, this.#key, nonce, { authTagLength: tagBytes });
    const text = JSON.stringify(key);
    // JSON may end in spaces.
    const padded = text.padEnd(Math.ceil(text.length / paddedTo) * paddedTo);
    const sealed = [cipher.update(padded, 'utf8'), cipher.final()];
    return Buffer.concat([nonce, cipher.getAuthTag(), ...sealed]);
  }

  /** The query with its cursor as a list reads it that seals none. Throws the invalid Problem for what this seal did not make. */
  open<Query extends PageQuery>(query: Query): Query {
    const { cursor } = query;
    return cursor === undefined ? query : { ...query, cursor: this.#open(cursor) };
  }

  #open(cursor: string): string {
    const bytes = Buffer.from(cursor, 'base64url');
    const sealedFrom = nonceBytes + tagBytes;
    try {
      const nonce = bytes.subarray(0, nonceBytes);
      const decipher = createDecipheriv(algorithm, this.#key, nonce, { authTagLength: tagBytes });
      decipher.setAuthTag(bytes.subarray(nonceBytes, sealedFrom));
      const text = [decipher.update(bytes.subarray(sealedFrom)), decipher.final()];
      return Buffer.concat(text).toString('base64url');
    } catch {
      // Too short, changed, or of another key.
      throw wrongCursor();
    }
  }
}
