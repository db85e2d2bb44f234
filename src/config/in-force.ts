// The configuration in force as people are shown it: every setting, its value as it was written, and where that comes from.
import { variableOf } from './environment.ts';
import type { LoadedConfig } from './load.ts';
import { listSettings, settings } from './settings.ts';

export interface SettingInForce {
  readonly path: string;
  /** As somebody wrote it, or the default; null: empty; a secret that is set is `(set)`. */
  readonly value: unknown;
  /** FILE:LINE, a variable, a flag, or `default`. */
  readonly source: string;
  /** The variable of the environment that sets it. */
  readonly variable: string;
}

/** All settings in the order of the file. */
export function settingsInForce(
  loaded: Pick<LoadedConfig, 'written' | 'sources'>,
): readonly SettingInForce[] {
  return [...listSettings(settings)].map(([path, { fallback, secret }]) => {
    const value = loaded.written.get(path) ?? fallback ?? null;
    const source = loaded.sources.get(path) ?? 'default';
    return { path, value: secret && value !== null ? '(set)' : value, source, variable: variableOf(path) };
  });
}

/** What is in force after a running server has read its configuration again: the rest changes with the next start. */
export function reloadedSettings(
  running: readonly SettingInForce[],
  loaded: Pick<LoadedConfig, 'written' | 'sources'>,
): readonly SettingInForce[] {
  const known = listSettings(settings);
  const read = new Map(settingsInForce(loaded).map((setting) => [setting.path, setting]));
  return running.map((setting) =>
    known.get(setting.path)?.reload ? (read.get(setting.path) ?? setting) : setting,
  );
}
