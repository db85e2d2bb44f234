// The Warning header (RFC 9110 leaves it to RFC 7234, section 5.5; the distribution specification has clients show code 299), by
// which a registry tells people something beside an answer that is good.
import type { FastifyReply } from 'fastify';

/** More is cut off: clients read no more of it. */
const longestWarning = 4096;

/** Adds a warning to the answer. Several of them are lines of their own. */
export function warn(reply: FastifyReply, text: string): void {
  // What a quoted string cannot hold as it is.
  const quotable = text.replace(/[^\t\u0020-\u007e\u0080-\u00ff]/g, '?').replace(/["\\]/g, '\\$&');
  const line = `299 - "${quotable.slice(0, longestWarning - 10)}"`;
  const before = reply.getHeader('warning');
  const lines = before === undefined ? [] : [before].flat().map(String);
  reply.header('warning', lines.length === 0 ? line : [...lines, line]);
}
