// JSON from a stranger: refused while it is still bytes when it is not UTF-8 or nests so deeply that a later reader would
// run out of stack, and only then parsed.
import { isUtf8 } from 'node:buffer';

/** Real manifests nest five levels; JSON.stringify and many clients recurse, and die at some thousands. */
export const deepestNesting = 64;

/**
 * 4 MiB hold 30,000 bare descriptors or 20,000 with a platform, which is 160,000 values; but also a million empty arrays,
 * which keep JSON.parse, and with it every other request, busy for half a second.
 */
export const mostValues = 200_000;

/**
 * The value that `bytes` spell as JSON (RFC 8259, UTF-8 without a byte order mark). Of a repeated key the last one counts.
 * Throws SyntaxError, whose message is a clause that says what is wrong, for anything else, for more than `deepestNesting`
 * levels and for more than `mostValues` values.
 */
export function parseBoundedJson(bytes: Buffer): unknown {
  if (bytes.length === 0) throw new SyntaxError('it is empty');
  if (!isUtf8(bytes)) throw new SyntaxError('it is not UTF-8');
  checkStructure(bytes);
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
const comma = 0x2c;
const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * One pass without recursion: follows brackets and counts commas outside strings. Broken JSON passes or fails by accident
 * here, and JSON.parse refuses it anyway.
 */
function checkStructure(bytes: Buffer): void {
  let depth = 0;
  let values = 1;
  let inString = false;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (inString) {
      if (byte === backslash) index += 1;
      else if (byte === quote) inString = false;
    } else if (byte === quote) {
      inString = true;
    } else if (byte === comma) {
      values += 1;
    } else if (byte === openBrace || byte === openBracket) {
      depth += 1;
      values += 1;
      if (depth > deepestNesting) throw new SyntaxError(`it nests more than ${deepestNesting} levels deep`);
    } else if (byte === closeBrace || byte === closeBracket) {
      depth -= 1;
    }
  }
  if (values > mostValues) throw new SyntaxError(`it holds more than ${mostValues} values`);
}
