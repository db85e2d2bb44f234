// JSON from a stranger: refused while it is still bytes when it is not UTF-8 or nests so deeply that a later reader would
// run out of stack, and only then parsed.
import { isUtf8 } from 'node:buffer';

/** Real manifests nest five levels; JSON.stringify and many clients recurse, and die at some thousands. */
export const deepestNesting = 64;

/**
 * The value that `bytes` spell as JSON (RFC 8259, UTF-8 without a byte order mark). Of a repeated key the last one counts.
 * Throws SyntaxError, whose message is a clause that says what is wrong, for anything else and for more than 64 levels.
 */
export function parseBoundedJson(bytes: Buffer): unknown {
  if (bytes.length === 0) throw new SyntaxError('it is empty');
  if (!isUtf8(bytes)) throw new SyntaxError('it is not UTF-8');
  if (nestsDeeperThan(bytes, deepestNesting)) {
    throw new SyntaxError(`it nests more than ${deepestNesting} levels deep`);
  }
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new SyntaxError('it is not JSON', { cause: error });
  }
}

/** A JSON object, as opposed to an array, null or a scalar. */
export function isJsonObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const quote = 0x22;
const backslash = 0x5c;

/** One pass without recursion: counts brackets outside strings. Broken JSON gets some answer, and JSON.parse refuses it. */
function nestsDeeperThan(bytes: Buffer, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (inString) {
      if (byte === backslash) index += 1;
      else if (byte === quote) inString = false;
    } else if (byte === quote) {
      inString = true;
    } else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth > limit) return true;
    } else if (byte === 0x7d || byte === 0x5d) {
      depth -= 1;
    }
  }
  return false;
}
