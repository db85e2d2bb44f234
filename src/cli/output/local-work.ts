// Long work of a command that needs no registry: with the same progress as an operation, and ended by Ctrl-C.
import { standaloneRun, type WorkRun } from '../../registry/operation-run.ts';
import { listenForInterrupt } from '../client/interruption.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { Progress } from './progress.ts';

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
  const onProgress: WorkRun['progress'] = (done, total = undefined, report = {}) => {
    const rate = (done * 1000) / Math.max(1, performance.now() - began);
    const remainingSeconds = total === undefined || rate === 0 ? null : Math.max(0, total - done) / rate;
    const figures = { done, total: total ?? null, rate, remainingSeconds, report };
    progress.show({ id: null, kind, state: 'running', ...figures });
  };
  try {
    return await work(standaloneRun({ signal: abort.signal, onProgress }));
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    throw new CommandError(exitCodes.interrupted, `interrupted: ${left}`, { cause: error });
  } finally {
    progress.clear();
    forget();
  }
}
