// What tests of imports share: running one against a registry of the test.
import { openDistribution } from '../../src/import/distribution.ts';
import { type ImportOptions, runImport } from '../../src/import/importer.ts';
import { openLiveRegistry, type RemoteChoice } from '../../src/import/live-registry.ts';
import { openOciLayout } from '../../src/import/oci-layout.ts';
import type { Credentials } from '../../src/import/registry-login.ts';
import type { ImportReport } from '../../src/import/report.ts';
import type { ImportSource } from '../../src/import/source.ts';
import { standaloneRun, type WorkRun } from '../../src/registry/operation-run.ts';
import type { Registry } from '../../src/registry/registry.ts';

export interface TestImport extends ImportOptions, RemoteChoice {
  readonly run?: WorkRun;
  readonly credentials?: Credentials;
  /** A certificate to trust. */
  readonly ca?: string;
  /** For a layout: where images go whose name is a tag alone. */
  readonly repository?: string;
}

export async function importFolder(
  registry: Registry,
  path: string,
  options: TestImport = {},
): Promise<ImportReport> {
  return await importFrom(registry, await openDistribution(path, options), options);
}

export async function importLayout(
  registry: Registry,
  path: string,
  options: TestImport = {},
): Promise<ImportReport> {
  return await importFrom(registry, await openOciLayout(path, options), options);
}

export async function importLive(
  registry: Registry,
  url: string,
  options: TestImport = {},
): Promise<ImportReport> {
  const run = options.run ?? standaloneRun();
  const { credentials, parallel = 4, ca } = options;
  const remote = { url: new URL(url), credentials, parallel, ca, signal: run.signal };
  return await importFrom(registry, openLiveRegistry(remote, options), { ...options, run });
}

async function importFrom(
  registry: Registry,
  source: ImportSource,
  options: TestImport,
): Promise<ImportReport> {
  try {
    return await runImport(registry, source, options, options.run ?? standaloneRun());
  } finally {
    await source.close();
  }
}
