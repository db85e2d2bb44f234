// Long work of a command that needs no registry: with the same progress as an operation, and ended by Ctrl-C.
import { standaloneRun, type WorkRun } from '../../registry/operation-run.ts';
import { listenForInterrupt } from '../client/interruption.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { Progress } from './progress.ts';

const showEveryMilliseconds = 250;

/** Does `work` and shows how far it is. After Ctrl-C it throws CommandError (130) once the work has let go; `left` says what is left. */
export async function runLocally<T>(
  kind: string,
  context: CommandContext,
  left: string,
  work: (run: WorkRun) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  const { interrupted, forget } = listenForInterrupt();
  void interrupted.then(() => abort.abort(new Error('interrupted')));
  const progress = new Progress(context);
  const began = performance.now();
  let known = { done: 0, total: null as number | null, report: {} as Readonly<Record<string, unknown>> };
  const show = (): void => {
    const { done, total } = known;
    const rate = (done * 1000) / Math.max(1, performance.now() - began);
    const remainingSeconds = total === null || rate === 0 ? null : Math.max(0, total - done) / rate;
    progress.show({ id: null, kind, state: 'running', ...known, rate, remainingSeconds });
  };
  // One large blob may take long, and the work tells nothing meanwhile.
  const timer = setInterval(show, showEveryMilliseconds);
  const onProgress: WorkRun['progress'] = (done, total, report = {}) => {
    known = { done, total: total ?? null, report };
  };
  try {
    return await work(standaloneRun({ signal: abort.signal, onProgress }));
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    throw new CommandError(exitCodes.interrupted, `interrupted: ${left}`, { cause: error });
  } finally {
    clearInterval(timer);
    progress.clear();
    forget();
  }
}
