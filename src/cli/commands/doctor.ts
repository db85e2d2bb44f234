// `berth doctor`: looks at a registry from outside, the way clients come to it, and at the data folder on this machine.
import { existsSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { isLoopback } from '../../config/access-mode.ts';
import type { Config } from '../../config/config.ts';
import { findCredential } from '../client/credentials.ts';
import { addDoorOptions, type DoorOptions, readServerFile } from '../client/door.ts';
import { parseRegistryAddress, type RegistryAddress } from '../client/registry-address.ts';
import { loadFor } from '../config-options.ts';
import type { CommandContext } from '../context.ts';
import type { Finding, Patient } from '../doctor/finding.ts';
import { checkFolder } from '../doctor/folder.ts';
import { checkChallenge, checkClock, checkDns, checkTls } from '../doctor/network.ts';
import { checkUpload } from '../doctor/upload.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { colourOf } from '../output/colour.ts';
import { printJson } from '../output/print.ts';
import { escapeControls } from '../output/text.ts';
import { examplesText } from './define.ts';

interface DoctorOptions extends DoorOptions {
  readonly url?: string;
  readonly json?: boolean;
  readonly uploadSize: string;
}

const mebibyte = 1024 * 1024;

export function addDoctor(program: Command, context: CommandContext): void {
  const command = program
    .command('doctor')
    .description('look at a registry from outside, as clients see it, and at the data folder on this machine')
    .option(
      '--url <url>',
      'the registry as clients type it (else --registry, http.publicUrl, the server on this machine)',
    )
    .addOption(
      new Option('--upload-size <mebibytes>', 'how much the upload check sends; 0: none').default('100'),
    )
    .option('--json', 'the findings as JSON');
  addDoorOptions(command)
    .addHelpText('after', '\nExit codes: 0 nothing failed, 3 something did.')
    .addHelpText(
      'after',
      examplesText(['doctor', 'doctor --url https://registry.example.com', 'doctor --upload-size 0 --json']),
    )
    .action((options: DoctorOptions) => doctor(options, context));
}

async function doctor(options: DoctorOptions, context: CommandContext): Promise<void> {
  const uploadBytes = bytesOf(options.uploadSize);
  const { config } = loadFor({ ...options }, context);
  const address = addressFor(options, config, context);
  const patient: Patient = { ...address, context, uploadBytes };
  const findings: Finding[] = [];
  for await (const finding of examine(patient, config, options)) {
    findings.push(finding);
    if (!options.json) context.stdout.write(lineOf(finding, context));
  }
  if (options.json) printJson({ url: address.origin, items: findings }, context);
  if (findings.some(({ state }) => state === 'fail')) context.finish(exitCodes.found);
}

async function* examine(patient: Patient, config: Config, options: DoctorOptions): AsyncGenerator<Finding> {
  const reachable = yield* checkDns(patient);
  if (reachable && (yield* checkTls(patient))) {
    const answers = yield* checkChallenge(patient);
    if (answers !== undefined) {
      yield* checkClock(patient, answers);
      yield* checkUpload(patient, answers, await findCredential(patient.host, patient.context));
    }
  }
  const named = options.url ?? options.registry;
  // The folder of this machine says nothing about a registry that runs elsewhere.
  if (named === undefined && existsSync(config.data)) yield* checkFolder(config, patient.context);
}

function addressFor(options: DoctorOptions, config: Config, context: CommandContext): RegistryAddress {
  if (options.url !== undefined) return parseRegistryAddress(options.url, '--url');
  if (options.registry !== undefined) return parseRegistryAddress(options.registry, '--registry');
  const { BERTH_REGISTRY: named } = context.environment;
  if (named) return parseRegistryAddress(named, 'BERTH_REGISTRY');
  if (config.http.publicUrl !== undefined)
    return parseRegistryAddress(config.http.publicUrl, 'http.publicUrl');
  const running = readServerFile(config.data, context)?.url;
  const scheme = config.http.tls === undefined ? 'http' : 'https';
  const address = config.http.address.includes(':') ? `[${config.http.address}]` : config.http.address;
  const url = new URL(running ?? `${scheme}://${address}:${config.http.port}`);
  // As clients on this machine type it, and as their credentials are kept.
  const isHere = isLoopback(url.hostname) || ['0.0.0.0', '[::]'].includes(url.hostname);
  const host = isHere ? url.host.replace(url.hostname, 'localhost') : url.host;
  return { host, origin: `${url.protocol}//${host}` };
}

function bytesOf(mebibytes: string): number {
  if (/^\d{1,6}$/.test(mebibytes)) return Number(mebibytes) * mebibyte;
  const message = `--upload-size: found ${JSON.stringify(mebibytes)}, allowed: a number of MiB from 0 on`;
  throw new CommandError(exitCodes.wrongUsage, message);
}

function lineOf({ state, check, text }: Finding, context: CommandContext): string {
  const colours = { ok: 'green', warn: 'yellow', fail: 'red', skip: 'dim' } as const;
  return `${colourOf(colours[state], state.padEnd(5), context)} ${check.padEnd(12)} ${escapeControls(text)}\n`;
}
