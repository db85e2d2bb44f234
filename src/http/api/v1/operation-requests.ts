// Begins what a request asks for, or tells what that would be. Each kind takes members of its own; the others are refused with a sentence.
import { isAbsolute, normalize } from 'node:path';
import { parseRepositoryName } from '../../../oci/name.ts';
import { type BackupTask, type ImportTask, shownImport } from '../../../registry/care-tasks.ts';
import type { OperationReport } from '../../../storage/care-store.ts';
import { isWithinFolder } from '../../../storage/folders.ts';
import type { Origin } from '../../../storage/metadata-store.ts';
import type { ApiContext } from './context.ts';
import type { ImportSourceRequest, OperationRequest } from './operation-schemas.ts';
import { invalidMember, Problem, parseMember } from './problem.ts';

const membersOfKind: Readonly<Record<OperationRequest['kind'], readonly string[]>> = {
  gc: ['dryRun', 'now', 'force'],
  scrub: ['deep', 'repair'],
  backup: ['destination', 'keep', 'verify'],
  import: ['source'],
};

const manner = ['overwrite', 'parallel'];
const membersOfSource: Readonly<Record<ImportSourceRequest['type'], readonly string[]>> = {
  distribution: ['path', 'link', 'repositories', 'tags', ...manner],
  oci: ['path', 'link', 'repository', ...manner],
  registry: ['url', 'credentials', 'certificate', 'repositories', 'tags', ...manner],
};

/** Something that can be begun. */
interface Prepared {
  /** What was asked for, without secrets. */
  readonly request: OperationReport;
  readonly begin: () => Promise<number>;
}

/** Begins it and resolves with its id. Throws Problem, or SameKindRunningError. */
export async function beginOperation(
  context: ApiContext,
  request: OperationRequest,
  origin: Origin,
): Promise<number> {
  return await prepare(context, request, origin).begin();
}

/** What would be begun. Throws like beginOperation. */
export function planOperation(context: ApiContext, body: OperationRequest, origin: Origin) {
  const { kind } = body;
  const { request } = prepare(context, body, origin);
  context.registry.operations.assertNone(kind);
  return { kind, request };
}

function prepare(context: ApiContext, request: OperationRequest, origin: Origin): Prepared {
  const { care } = context;
  refuseOthers(request, 'kind', membersOfKind[request.kind], '');
  switch (request.kind) {
    case 'gc': {
      const { dryRun = false, now = false, force = false } = request;
      const task = { dryRun, now, force };
      return { request: task, begin: () => care.collect(task, origin) };
    }
    case 'scrub': {
      const { deep = false, repair = false } = request;
      const task = { deep, repair };
      return { request: task, begin: () => care.scrub(task, origin) };
    }
    case 'backup': {
      const task = backupTask(context, request);
      return { request: { ...task }, begin: () => care.backUp(task, origin) };
    }
    case 'import': {
      const task = importTask(request.source);
      return { request: shownImport(task), begin: () => beginImport(context, task, origin) };
    }
  }
}

async function beginImport(
  { care, registry }: ApiContext,
  task: ImportTask,
  origin: Origin,
): Promise<number> {
  const { message } = registry.writes.readOnly();
  if (message !== undefined) throw new Problem('read-only', message);
  return await care.importFrom(task, origin);
}

function refuseOthers(body: object, by: string, taken: readonly string[], base: string): void {
  const kind = (body as Readonly<Record<string, unknown>>)[by];
  for (const [name, value] of Object.entries(body)) {
    if (name === by || value === undefined || taken.includes(name)) continue;
    throw invalidMember(`${base}/${name}`, `${by} ${kind} takes ${taken.join(', ')}`);
  }
}

function backupTask({ config }: ApiContext, request: OperationRequest): BackupTask {
  const { backup, data } = config;
  const destination = request.destination ?? backup.destination;
  if (destination === undefined) {
    throw invalidMember('/destination', 'say where the backup goes: no backup.destination is set');
  }
  if (!isAbsolute(destination)) {
    throw invalidMember('/destination', 'an absolute path is needed, as the server sees it');
  }
  const folder = normalize(destination);
  if (isWithinFolder(folder, data)) {
    throw invalidMember(
      '/destination',
      'this lies in the data folder: choose a folder elsewhere, best on another disk',
    );
  }
  // How many stay is a setting of that one folder.
  const isUsual = folder === backup.destination;
  const { keep = isUsual ? backup.keep : undefined, verify = isUsual && backup.verify } = request;
  return { destination: folder, keep, verify };
}

function importTask(source: ImportSourceRequest | undefined): ImportTask {
  if (source === undefined) throw invalidMember('/source', 'this is missing');
  refuseOthers(source, 'type', membersOfSource[source.type], '/source');
  const { repositories, tags, overwrite, parallel } = source;
  const common = { repositories, tags, overwrite, parallel };
  if (source.type === 'registry') {
    const { url, credentials, certificate } = source;
    if (url === undefined || !URL.canParse(url)) {
      throw invalidMember('/source/url', 'an address such as https://registry.example.com is needed');
    }
    return { type: 'registry', url, credentials, certificate, ...common };
  }
  const { path, link, repository } = source;
  if (path === undefined || !isAbsolute(path)) {
    throw invalidMember('/source/path', 'an absolute path is needed, as the server sees it');
  }
  if (source.type === 'distribution') return { type: 'distribution', path, link, ...common };
  if (repository !== undefined) parseMember('/source/repository', () => parseRepositoryName(repository));
  return { type: 'oci', path, link, repository, overwrite, parallel };
}
