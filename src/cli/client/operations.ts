// Long work of a registry as commands follow it: started, watched until it has ended, and left alone by Ctrl-C.
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { Progress } from '../output/progress.ts';
import type { Api } from './api.ts';
import type { Operation } from './care-shapes.ts';
import { listenForInterrupt } from './interruption.ts';

/** Short work is seen to end at once, long work is asked about twice a second. */
const firstPauseMilliseconds = 30;
const longestPauseMilliseconds = 500;

/** Begins an operation and waits for its end. Throws like waitFor. */
export async function runOperation(
  api: Api,
  request: Readonly<Record<string, unknown>>,
  context: CommandContext,
): Promise<Operation> {
  const { id } = await api.post<Operation>('operations', request);
  return waitFor(api, id ?? 0, context);
}

/**
 * Waits until an operation has ended and shows how far it is. Throws CommandError: 130 after Ctrl-C, which leaves the operation
 * alone; 7 when the registry does not answer any more. `where`: another list that it is in, for those who may not see them all.
 */
export async function waitFor(
  api: Api,
  id: number,
  context: CommandContext,
  where = 'operations',
): Promise<Operation> {
  const progress = new Progress(context);
  const { interrupted, forget } = listenForInterrupt();
  const leave = (): Promise<never> => {
    progress.clear();
    return api.door.kind === 'folder' ? untilClosed(id, context) : Promise.reject(interruption(id));
  };
  try {
    for (let pause = firstPauseMilliseconds; ; pause = Math.min(longestPauseMilliseconds, pause * 2)) {
      const next = await Promise.race([ask(api, id, where), interrupted]);
      if (next === 'interrupted') return await leave();
      if (next.state !== 'running' && next.state !== 'paused') return next;
      progress.show(next);
      const waited = new Promise<'again'>((resolve) => setTimeout(resolve, pause, 'again'));
      if ((await Promise.race([waited, interrupted])) === 'interrupted') return await leave();
    }
  } finally {
    progress.clear();
    forget();
  }
}

async function ask(api: Api, id: number, where: string): Promise<Operation> {
  try {
    return await api.get<Operation>(`${where}/${id}`);
  } catch (error) {
    if (!(error instanceof CommandError) || error.code !== exitCodes.unreachable) throw error;
    const message = `${error.message}\noperation ${id} goes on where the registry does: berth operation show ${id}`;
    throw new CommandError(exitCodes.unreachable, message, { cause: error });
  }
}

/** In the third door this process is the server: its own handler closes the folder, which ends the operation, and then exits. */
function untilClosed(id: number, { stderr }: CommandContext): Promise<never> {
  stderr.write(`berth: interrupted: operation ${id} is stopped; what it did so far stays done\n`);
  return new Promise<never>(() => undefined);
}

function interruption(id: number): CommandError {
  const message = `interrupted: operation ${id} goes on. berth operation show ${id} --follow, or berth operation cancel ${id}`;
  return new CommandError(exitCodes.interrupted, message);
}

/** Throws CommandError for an operation that did not come to its end. */
export function assertDone({ id, kind, state, report }: Operation): void {
  if (state === 'done') return;
  const name = `${kind} (operation ${id})`;
  const message = {
    failed: `${name} failed: ${typeof report?.error === 'string' ? report.error : 'the log of the server tells why'}`,
    cancelled: `${name} was cancelled; what it did so far stays done`,
    interrupted: `${name} ended with the server, before it was done; what it did so far stays done`,
    running: `${name} still runs`,
    paused: `${name} is paused: berth operation resume ${id}`,
  }[state];
  throw new CommandError(exitCodes.failed, message);
}
