// Ctrl-C while a command waits for work that goes on without it.

/** Resolves at the first SIGINT. `forget` lets the next one end the process as it does by itself. */
export function listenForInterrupt(): { readonly interrupted: Promise<'interrupted'>; forget(): void } {
  const interrupted = Promise.withResolvers<'interrupted'>();
  const onSignal = (): void => interrupted.resolve('interrupted');
  process.once('SIGINT', onSignal);
  return { interrupted: interrupted.promise, forget: () => process.off('SIGINT', onSignal) };
}
