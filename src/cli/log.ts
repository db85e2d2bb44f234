// The log of a running server: pino JSON lines on stdout, or a form for people on a terminal.
import pino, { type DestinationStream, type Logger } from 'pino';
import type { Config } from '../config/config.ts';
import type { Surroundings } from './context.ts';
import { GatheredLines } from './gathered-lines.ts';

export interface ServerLog {
  readonly log: Logger;
  /** Lets lines through; until then they wait, so that the first line of stdout is the start-up line. */
  release(): void;
  /** Writes out what is buffered; for the end of the process. */
  flush(): void;
}

/**
 * Nothing that proves an identity may reach the log, should somebody log headers by mistake: request lines are composed of
 * chosen fields (http/observe.ts). Full paths only: a wildcard is looked for in every line, which is several per cent of a pull.
 */
const redacted = ['', 'headers.', 'req.headers.'].flatMap((prefix) =>
  ['authorization', 'cookie', 'token', 'password', 'secret'].map((name) => prefix + name),
);

export async function openLog(
  { level, format }: Config['log'],
  { environment, stdout }: Surroundings,
): Promise<ServerLog> {
  const onTerminal = stdout.isTTY === true;
  const pretty = format === 'pretty' || (format === 'auto' && onTerminal);
  const descriptor = pino.destination({ dest: 1, sync: pretty });
  const coloured = onTerminal && (environment.NO_COLOR ?? '') === '';
  const atOnce = pretty ? descriptor : pino.destination({ dest: 1, sync: true });
  const lines = pretty ? descriptor : new GatheredLines(descriptor, atOnce);
  const target: DestinationStream = pretty ? await prettyLines(descriptor, coloured) : lines;
  let waiting: string[] | undefined = [];
  const release = (): void => {
    const held = waiting ?? [];
    waiting = undefined;
    for (const line of held) target.write(line);
  };
  const log = pino(
    {
      level,
      base: null,
      timestamp: isoTimestamps(),
      redact: { paths: redacted, censor: '[redacted]' },
    },
    { write: (line: string) => (waiting === undefined ? target.write(line) : waiting.push(line)) },
  );
  const flush = (): void => {
    release();
    lines.flushSync();
  };
  return { log, release, flush };
}

// As pino's isoTime, made once a millisecond: many lines share one.
function isoTimestamps(): () => string {
  let at = 0;
  let text = '';
  return () => {
    const now = Date.now();
    if (now !== at) {
      at = now;
      text = `,"time":"${new Date(now).toISOString()}"`;
    }
    return text;
  };
}

async function prettyLines(destination: DestinationStream, colorize: boolean): Promise<DestinationStream> {
  // Loaded where it is needed: a server that logs JSON would hold it for nothing.
  const { default: pinoPretty } = await import('pino-pretty');
  return pinoPretty({
    destination: destination as never,
    colorize,
    translateTime: 'SYS:HH:MM:ss',
    singleLine: true,
    // A message may quote what a client sent, which must not steer the terminal.
    messageFormat: (line, key) => escapeControls(String(line[key] ?? '')),
  });
}

function escapeControls(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (control) => JSON.stringify(control).slice(1, -1));
}
