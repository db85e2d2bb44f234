// `berth setup`: files that let clients, proxies and service managers work with this registry.
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { isLoopback } from '../../config/access-mode.ts';
import type { Config } from '../../config/config.ts';
import { makeSample, type SampleFacts, type SampleName } from '../../samples.ts';
import { splitAddress } from '../client/registry-address.ts';
import { addConfigOptions, type ConfigOptions, loadFor } from '../config-options.ts';
import type { CommandContext } from '../context.ts';
import { addInsecureRegistry, type Written, writeSetupFile } from '../setup-files.ts';

interface SetupOptions extends ConfigOptions {
  readonly registry?: string;
  readonly image?: string;
  readonly write?: boolean;
}

/** What a registry is called by its clients, and whether they speak plain HTTP with it. */
interface Registry {
  readonly name: string;
  readonly isPlain: boolean;
}

const localImage = 'localhost/berth:latest';

const descriptions: Readonly<Record<SampleName, string>> = {
  podman: 'registries.conf for podman, buildah and skopeo, if the registry speaks plain HTTP',
  docker: 'daemon.json for docker, if the registry speaks plain HTTP',
  containerd: 'hosts.toml for containerd, and so for a Kubernetes node',
  kubernetes: 'a pull secret for a Kubernetes cluster, without the secret',
  ci: 'a job of GitLab CI that builds and pushes as a robot',
  quadlet: 'a systemd service of podman that runs the container image',
  nginx: 'a server block that puts TLS in front of Berth',
  compose: 'a compose file that runs the container image',
};

export function addSetup(program: Command, context: CommandContext): void {
  const setup = program
    .command('setup')
    .description('print, or write, files for clients, proxies and service managers')
    .addHelpText(
      'after',
      '\nExamples:\n  berth setup podman --write\n  berth setup nginx > /etc/nginx/conf.d/berth.conf',
    );
  for (const [name, description] of Object.entries(descriptions))
    addSample(setup, name as SampleName, description, context);
}

function addSample(setup: Command, name: SampleName, description: string, context: CommandContext): void {
  const command = addConfigOptions(setup.command(name).description(description))
    .option(
      '-r, --registry <host:port>',
      'another registry than the one configured here (else BERTH_REGISTRY)',
    )
    .option('--write', `write it to ${placeOf(name, { name: 'HOST:PORT', isPlain: true }, '~', '.', 1000)}`);
  if (name === 'quadlet' || name === 'compose')
    command.option('--image <reference>', 'the image to run', localImage);
  command
    .addHelpText('after', `\nExamples:\n  berth setup ${name}\n  berth setup ${name} --write`)
    .action((options: SetupOptions) => run(name, options, context));
}

function run(name: SampleName, options: SetupOptions, context: CommandContext): void {
  const { config } = loadFor(options, context);
  const registry = registryOf(options.registry ?? (context.environment.BERTH_REGISTRY || undefined), config);
  const needless = reasonWithoutFile(name, registry);
  if (needless !== undefined) {
    context.stderr.write(`${needless}\n`);
    return;
  }
  const text = makeSample(name, factsOf(registry, config, options.image ?? localImage));
  if (!options.write) {
    context.stdout.write(text);
    return;
  }
  const file = placeOf(name, registry, context.homeFolder, context.folder, context.userId);
  const written = name === 'docker' ? addInsecureRegistry(file, registry.name) : writeText(name, file, text);
  context.stdout.write(`${writtenText(written, file)}${remarkOn(name, registry, context.userId)}\n`);
}

function writeText(name: SampleName, file: string, text: string): Written {
  // The podman file bears the registry's name and is Berth's alone; the others may hold somebody's changes.
  return writeSetupFile(file, text, { replace: name === 'podman' });
}

function writtenText(written: Written, file: string): string {
  return written === 'wrote' ? `wrote ${file}` : `${file} is there already`;
}

function registryOf(named: string | undefined, { http }: Config): Registry {
  if (named !== undefined) return parseRegistry(named);
  if (http.publicUrl !== undefined) return parseRegistry(http.publicUrl);
  const everywhere = ['0.0.0.0', '::'].includes(http.address) || isLoopback(http.address);
  const host = http.address.includes(':') ? `[${http.address}]` : http.address;
  // A port of 0 says nothing about the next start; the default is at least somebody's.
  return { name: `${everywhere ? 'localhost' : host}:${http.port || 5000}`, isPlain: http.tls === undefined };
}

// Without a scheme it speaks plain HTTP: with HTTPS the client programs need no file.
function parseRegistry(text: string): Registry {
  const { scheme, host } = splitAddress(text, '--registry');
  return { name: host, isPlain: scheme !== 'https' };
}

function reasonWithoutFile(name: SampleName, { name: registry, isPlain }: Registry): string | undefined {
  if (name !== 'podman' && name !== 'docker') return undefined;
  if (!isPlain) {
    return (
      `${registry} speaks HTTPS: ${name} needs no file. For a certificate of an authority of your own, put that ` +
      `authority's into /etc/${name === 'docker' ? 'docker' : 'containers'}/certs.d/${registry}/ca.crt`
    );
  }
  if (name === 'docker' && isLoopback(registry.replace(/:\d+$/, ''))) {
    return `docker takes plain HTTP from this machine (127.0.0.0/8) by itself: docker push ${registry}/NAME needs no file`;
  }
  return undefined;
}

function factsOf(registry: Registry, { http }: Config, image: string): SampleFacts {
  const port = http.port || 5000;
  const publicUrl = http.publicUrl === undefined ? undefined : new URL(http.publicUrl);
  const address = { '0.0.0.0': '127.0.0.1', '::': '::1' }[http.address] ?? http.address;
  return {
    registry: registry.name,
    scheme: registry.isPlain ? 'http' : 'https',
    upstream: `${address.includes(':') ? `[${address}]` : address}:${port}`,
    publicHost: publicUrl?.hostname,
    publicPort: Number(publicUrl?.port || 443),
    port,
    image,
  };
}

/** Where the readers of a file on this machine look; where there is no such place, the current folder. */
function placeOf(name: SampleName, registry: Registry, home: string, folder: string, userId: number): string {
  // podman reads the folder in a user's home for root too, so one place does for both; XDG_CONFIG_HOME it does not look at.
  const userFolder = join(home, '.config/containers');
  const inName = registry.name.replace(/[[\]]/g, '').replaceAll(':', '-');
  const places: Readonly<Record<SampleName, string>> = {
    podman: join(userFolder, `registries.conf.d/berth-${inName}.conf`),
    docker: '/etc/docker/daemon.json',
    quadlet:
      userId === 0 ? '/etc/containers/systemd/berth.container' : join(userFolder, 'systemd/berth.container'),
    containerd: `/etc/containerd/certs.d/${registry.name}/hosts.toml`,
    kubernetes: resolve(folder, 'pull-secret.yaml'),
    ci: resolve(folder, '.gitlab-ci.yml'),
    nginx: resolve(folder, 'berth.conf'),
    compose: resolve(folder, 'compose.yaml'),
  };
  return places[name];
}

function remarkOn(name: SampleName, registry: Registry, userId: number): string {
  const user = userId === 0 ? '' : ' --user';
  const remarks: Readonly<Record<SampleName, string>> = {
    podman: `   (plain http is allowed for ${registry.name} only)`,
    docker: '   (docker reads it after: systemctl reload docker)',
    quadlet: `   (next: systemctl${user} daemon-reload && systemctl${user} start berth)`,
    containerd:
      '   (containerd reads it at the next pull, where its config.toml names /etc/containerd/certs.d as config_path)',
    kubernetes: '   (its first lines say how it becomes a secret)',
    ci: '   (its first lines say which robot and variables it takes)',
    nginx: '   (its place is /etc/nginx/conf.d/; nginx -t checks it)',
    compose: '   (next: docker compose up -d)',
  };
  return remarks[name];
}
