// A token in the forms that programs read: docker's config.json, a Kubernetes pull secret, shell variables, netrc.
import { CommandError, exitCodes } from '../exit-codes.ts';

export interface LoginFacts {
  /** As it stands before an image's name. */
  readonly host: string;
  /** As BERTH_REGISTRY takes it. */
  readonly address: string;
  readonly user: string;
  readonly secret: string;
}

export const credentialFormats = ['text', 'json', 'dockerconfig', 'kubernetes', 'env', 'netrc'] as const;
export type CredentialFormat = (typeof credentialFormats)[number];

/** The file that docker, podman and every client of theirs reads: {"auths": …}. */
export function dockerConfigText({ host, user, secret }: LoginFacts): string {
  const auth = Buffer.from(`${user}:${secret}`).toString('base64');
  return `${JSON.stringify({ auths: { [host]: { username: user, password: secret, auth } } }, undefined, 2)}\n`;
}

/** A Secret for imagePullSecrets, for `kubectl apply -f -`. Throws CommandError for names that Kubernetes refuses. */
export function kubernetesText(facts: LoginFacts, name: string, namespace: string | undefined): string {
  checkKubernetesName(name, '--name', 253, /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/);
  if (namespace !== undefined)
    checkKubernetesName(namespace, '--kubernetes-namespace', 63, /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/);
  const content = Buffer.from(dockerConfigText(facts)).toString('base64');
  const lines = [
    'apiVersion: v1',
    'kind: Secret',
    'metadata:',
    // Quoted: 123 and on are names that YAML would read as something else.
    `  name: "${name}"`,
    ...(namespace === undefined ? [] : [`  namespace: "${namespace}"`]),
    'type: kubernetes.io/dockerconfigjson',
    'data:',
    `  .dockerconfigjson: ${content}`,
  ];
  return `${lines.join('\n')}\n`;
}

/** Variables for a shell, `docker run --env-file` and systemd's EnvironmentFile. No value needs quotes. */
export function environmentText({ address, user, secret }: LoginFacts): string {
  return `BERTH_REGISTRY=${address}\nBERTH_USER=${user}\nBERTH_TOKEN=${secret}\n`;
}

/** For curl --netrc-file; netrc knows no ports. */
export function netrcText({ host, user, secret }: LoginFacts): string {
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  return `machine ${name}\nlogin ${user}\npassword ${secret}\n`;
}

function checkKubernetesName(name: string, flag: string, longest: number, pattern: RegExp): void {
  if (name.length <= longest && pattern.test(name)) return;
  const message = `${flag}: found ${JSON.stringify(name)}; Kubernetes takes lower-case letters, digits and "-", at most ${longest}`;
  throw new CommandError(exitCodes.wrongUsage, message);
}
