// Server-sent events as commands read them: one after the other, as they arrive.
import type { IncomingMessage } from 'node:http';

export interface ServerEvent {
  /** The id that was told last, of this event or of one before. */
  readonly id: string | undefined;
  readonly name: string;
  readonly data: string;
}

const longestEvent = 1024 * 1024;

export interface StreamListener {
  /** Told each id, also of events without data. */
  id(id: string): void;
  /** How long to wait before the connection is made again, in milliseconds. */
  retry(milliseconds: number): void;
}

/** Every event with data, until the stream ends. */
export async function* readEvents(
  response: IncomingMessage,
  listener: StreamListener,
): AsyncGenerator<ServerEvent> {
  let rest = '';
  let id: string | undefined;
  for await (const part of response.setEncoding('utf8')) {
    const blocks = (rest + part).split('\n\n');
    rest = blocks.pop() ?? '';
    if (rest.length > longestEvent) throw new Error('an event is too long: that is not Berth');
    for (const block of blocks) {
      const fields = parse(block);
      const retry = fields.get('retry');
      if (retry !== undefined && /^\d{1,9}$/.test(retry)) listener.retry(Number(retry));
      const told = fields.get('id');
      if (told !== undefined) {
        id = told;
        listener.id(told);
      }
      const data = fields.get('data');
      if (data !== undefined) yield { id, name: fields.get('event') ?? 'message', data };
    }
  }
}

/** Lines that begin with a colon are comments. */
function parse(block: string): ReadonlyMap<string, string> {
  const lines = block.split('\n').map((line) => /^([a-z]+): ?(.*)$/.exec(line));
  return new Map(lines.flatMap((match) => (match === null ? [] : [[match[1] ?? '', match[2] ?? '']])));
}
