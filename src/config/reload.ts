// Which changes of a configuration a running server takes over, and which wait for the next start.
import { isDeepStrictEqual } from 'node:util';
import type { Config } from './config.ts';
import { listSettings, settings } from './settings.ts';

/** The dotted paths of the settings that differ and are not taken over by a running server. */
export function listChangesForRestart(running: Config, changed: Config): readonly string[] {
  return [...listSettings(settings)]
    .filter(([, { reload }]) => !reload)
    .map(([path]) => path)
    .filter((path) => !isDeepStrictEqual(valueAt(running, path), valueAt(changed, path)));
}

function valueAt(config: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce((value, name) => (value as Record<string, unknown> | undefined)?.[name], config);
}
