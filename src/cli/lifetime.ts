// How long a server lives: until a signal, a failed medium or a fault nobody caught; and what SIGHUP means to it.
import { closeSync, openSync } from 'node:fs';
import type { Logger } from 'pino';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import type { RunningServer } from './server.ts';

/** npm forwards the SIGINT that a terminal already sent to the whole group: two within this time are one Ctrl-C. */
const sameKeyPressMilliseconds = 500;

/** Beyond limits.shutdown: for the database's last checkpoint. */
const extraShutdownSeconds = 15;

/** How long a start may take to its next step, once it is to be broken off. */
const longestBreakOffSeconds = 5;

type End = { readonly signal: NodeJS.Signals } | { readonly error: unknown };

export interface Lifetime {
  /** Aborted when a signal comes before `untilEnd`: the start is to be broken off. */
  readonly signal: AbortSignal;
  /** To be called when that was done; the exit code of it. */
  endOfStart(): ExitCode;
  /**
   * Waits for the end of `server`, drains it and resolves with the exit code: 0 after a signal, 1 after a fault. A second
   * signal, or a drain that takes much longer than `shutdownSeconds`, ends the process at once.
   */
  untilEnd(server: RunningServer, shutdownSeconds: number): Promise<ExitCode>;
}

/**
 * Takes over the signals, from before the server starts: without that a SIGHUP while it starts would kill it. `reload` is
 * called for each SIGHUP, one at a time, except when it tells that the terminal was closed: that ends the server. `flush` writes out the log.
 */
export function beginLifetime(log: Logger, flush: () => void, reload: () => Promise<void>): Lifetime {
  const end = Promise.withResolvers<End>();
  const startedOnTerminal = hasTerminal();
  const start = new AbortController();
  let isUp = false;
  let hardEnd: NodeJS.Timeout | undefined;
  let first: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (first === undefined) {
      first = performance.now();
      end.resolve({ signal });
      if (!isUp) breakOff(signal);
    } else if (performance.now() - first > sameKeyPressMilliseconds) {
      log.warn(`second ${signal}: ending at once; interrupted uploads can be resumed`);
      flush();
      if (!isUp) endHard();
      process.exit(signal === 'SIGINT' ? exitCodes.interrupted : exitCodes.failed);
    }
  };
  const breakOff = (signal: NodeJS.Signals): void => {
    log.info(`${signal}: breaking off the start`);
    flush();
    start.abort();
    hardEnd = setTimeout(() => {
      log.error(
        'the start cannot be broken off, because a file or the network does not answer: ending at once',
      );
      flush();
      endHard();
    }, longestBreakOffSeconds * 1000).unref();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  process.on('uncaughtException', (error) => end.resolve({ error }));
  let reloading = Promise.resolve();
  process.on('SIGHUP', () => {
    if (startedOnTerminal && !hasTerminal()) {
      onSignal('SIGHUP');
      return;
    }
    reloading = reloading
      .then(reload)
      .catch((err: unknown) => log.error({ err }, 'reload failed; all stays as it was'));
  });
  return {
    signal: start.signal,
    endOfStart() {
      log.info('stopped');
      flush();
      return exitCodes.done;
    },
    async untilEnd(server, shutdownSeconds) {
      isUp = true;
      clearTimeout(hardEnd);
      server.fatal.then((error) => end.resolve({ error })).catch(() => undefined);
      const reason = await end.promise;
      if ('signal' in reason)
        log.info(`${reason.signal}: finishing requests in flight, at most ${shutdownSeconds} s`);
      else log.fatal({ err: reason.error }, 'Berth cannot go on and stops');
      const closed = await closeInTime(server, log, shutdownSeconds + extraShutdownSeconds);
      if (closed) log.info('stopped');
      flush();
      return closed && 'signal' in reason ? exitCodes.done : exitCodes.failed;
    },
  };
}

/** Ends a process that has not promised anything to anybody yet. An exit would wait for the thread that waits for a file. */
function endHard(): void {
  process.kill(process.pid, 'SIGKILL');
}

/** Whether the terminal that this process belongs to is still open. When a window closes, the system sends SIGHUP too. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

async function closeInTime(server: RunningServer, log: Logger, seconds: number): Promise<boolean> {
  const deadline = Promise.withResolvers<false>();
  const timer = setTimeout(() => {
    log.error(`not stopped after ${seconds} s: ending at once`);
    deadline.resolve(false);
  }, seconds * 1000);
  const closing = server.close().then(
    () => true,
    (err: unknown) => {
      log.error({ err }, 'stopping failed');
      return false;
    },
  );
  const closed = await Promise.race([closing, deadline.promise]);
  clearTimeout(timer);
  return closed;
}
