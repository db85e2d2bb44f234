// The Warning header (RFC 9110 leaves it to RFC 7234, section 5.5; the distribution specification has clients show code 299), by
// which a registry tells people something beside an answer that is good.
import type { FastifyReply } from 'fastify';

/** Bytes that all warnings of one answer may take: clients read no more. */
export const longestWarning = 4096;

const frame = '299 - ""'.length;

/** Adds a warning to the answer. Several are lines of their own; what does not fit any more is cut off. */
export function warn(reply: FastifyReply, text: string): void {
  const before = [reply.getHeader('warning') ?? []].flat().map(String);
  const used = before.reduce((sum, line) => sum + line.length, 0);
  const room = longestWarning - used - frame;
  if (room <= 0) return;
  const line = `299 - "${quoted(text, room)}"`;
  reply.header('warning', before.length === 0 ? line : [...before, line]);
}

/** How many bytes a warning takes where nothing is cut off. */
export function lengthOfWarning(text: string): number {
  return frame + escaped(text).length;
}

function quoted(text: string, room: number): string {
  const whole = escaped(text);
  if (whole.length <= room) return whole;
  let cut = '';
  for (const character of text) {
    const next = escaped(character);
    if (cut.length + next.length > room) break;
    cut += next;
  }
  return cut;
}

/** What stands between the quotes. UTF-8 goes over the wire as it is: headers are handed over as text whose characters are bytes. */
function escaped(text: string): string {
  // regctl, which shows it, ends at the first quote even where that is escaped as it must be: the other one says the same.
  const quotable = text
    .replace(/\p{Cc}/gu, '?')
    .replaceAll('"', "'")
    .replaceAll('\\', '\\\\');
  return Buffer.from(quotable, 'utf8').toString('latin1');
}
