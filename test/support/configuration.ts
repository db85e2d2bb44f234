// Configurations from a text: what it means, or everything that is wrong with it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { ConfigurationError } from '../../src/config/faults.ts';
import { type ConfigSources, type LoadedConfig, loadConfig } from '../../src/config/load.ts';

/** The configuration of a folder whose berth.yaml is `yaml`; undefined: there is none. */
export function load(
  t: TestContext,
  yaml: string | undefined,
  more: Partial<ConfigSources> = {},
): LoadedConfig {
  const folder = mkdtempSync(join(tmpdir(), 'berth-config-'));
  t.after(() => rmSync(folder, { recursive: true }));
  if (yaml !== undefined) writeFileSync(join(folder, 'berth.yaml'), yaml);
  return loadConfig({ folder, environment: {}, ...more });
}

/** All faults as lines of text. */
export function faultsOf(
  t: TestContext,
  yaml: string | undefined,
  more: Partial<ConfigSources> = {},
): readonly string[] {
  try {
    load(t, yaml, more);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.message.split('\n');
    throw error;
  }
  return [];
}
