// The options that decide which configuration a command works with, and the way from them to it.
import type { Command } from 'commander';
import { type ConfigSources, type LoadedConfig, loadConfig } from '../config/load.ts';
import type { Surroundings } from './context.ts';

export interface ConfigOptions {
  readonly config?: string;
  readonly address?: string;
  readonly port?: string;
  readonly data?: string;
  readonly open?: boolean;
}

/** Adds --config, --address, --port, --data and --open to `command`. */
export function addConfigOptions(command: Command): Command {
  return command
    .option(
      '-c, --config <file>',
      'configuration file (else BERTH_CONFIG, ./berth.yaml or /etc/berth/berth.yaml)',
    )
    .option('--address <address>', 'address to listen on (http.address)')
    .option('--port <port>', 'port to listen on, 0 lets the system pick one (http.port)')
    .option('--data <folder>', 'the folder that holds everything (data)')
    .option('--open', 'no sign-in (access.mode: open)');
}

/** What `loadConfig` needs for these options. */
export function sourcesOf(options: ConfigOptions, { environment, folder }: Surroundings): ConfigSources {
  const given = [
    { path: 'http.address', flag: '--address', text: options.address },
    { path: 'http.port', flag: '--port', text: options.port },
    { path: 'data', flag: '--data', text: options.data },
    { path: 'access.mode', flag: '--open', text: options.open ? 'open' : undefined },
  ];
  const flags = given.flatMap(({ text, ...rest }) => (text === undefined ? [] : [{ ...rest, text }]));
  return { folder, environment, file: options.config, flags };
}

/** The configuration that these options and the surroundings give. Throws ConfigurationError. */
export function loadFor(options: ConfigOptions, surroundings: Surroundings): LoadedConfig {
  return loadConfig(sourcesOf(options, surroundings));
}
