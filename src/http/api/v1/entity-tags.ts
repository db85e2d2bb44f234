// Entity tags of the management API's objects (RFC 9110, section 8.8.3), and the conditions that requests put on them.
import { createHash } from 'node:crypto';
import { Problem } from './problem.ts';

/** The strong entity tag of an object: equal objects have equal ones, in every process. */
export function entityTagOf(object: object): string {
  return `"${createHash('sha256').update(JSON.stringify(object)).digest('base64url').slice(0, 22)}"`;
}

/** Whether an If-None-Match header says that the client has the object already. */
export function isKnown(header: string | undefined, tag: string): boolean {
  return (
    header !== undefined &&
    listTags(header).some((known) => known === '*' || known.replace(/^W\//, '') === tag)
  );
}

/**
 * Holds a change to its If-Match and If-None-Match headers. `current` is undefined where nothing is there. Throws the
 * precondition-failed Problem.
 */
export function checkPreconditions(
  headers: { readonly 'if-match'?: string | undefined; readonly 'if-none-match'?: string | undefined },
  current: object | undefined,
): void {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  const tag = current === undefined ? undefined : entityTagOf(current);
  if (ifMatch !== undefined) {
    const wanted = listTags(ifMatch);
    if (tag === undefined) throw failed('nothing is there, and If-Match asks for something');
    // A weak tag never matches here: it does not promise that the object is the same.
    if (!wanted.includes('*') && !wanted.includes(tag)) {
      throw failed('the object has changed since it was read: read it again, and decide then');
    }
  }
  if (ifNoneMatch !== undefined && tag !== undefined && isKnown(ifNoneMatch, tag)) {
    throw failed('something is there already, and If-None-Match asks for nothing');
  }
}

function listTags(header: string): string[] {
  return header.split(',').map((tag) => tag.trim());
}

function failed(detail: string): Problem {
  return new Problem('precondition-failed', detail);
}
