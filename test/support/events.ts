// Reading server-sent events.

export interface ServerEvent {
  readonly id: string;
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please
  readonly data: any;
}

/** All events of a stream, until it ends. */
export async function readEvents(reply: Response): Promise<readonly ServerEvent[]> {
  return parseEvents(await reply.text());
}

function parseEvents(text: string): readonly ServerEvent[] {
  return text
    .split('\n\n')
    .map(
      (block) =>
        new Map(block.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string])),
    )
    .filter((fields) => fields.has('data'))
    .map((fields) => ({
      id: fields.get('id') ?? '',
      event: fields.get('event') ?? '',
      data: JSON.parse(fields.get('data') ?? ''),
    }));
}
