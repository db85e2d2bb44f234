// The page that a browser gets at `/`: what this is, and how to push to it.
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { publicBaseOf } from './challenge.ts';
import { declare, type HttpContext } from './context.ts';
import { factsOf } from './facts.ts';

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:4rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.6rem;margin:0}pre{background:#f1f4f8;padding:.8rem 1rem;border-radius:6px;overflow-x:auto}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:#5b6776}dd{margin:0}a{color:#0b5cad}
@media(prefers-color-scheme:dark){body{color:#dfe5ec;background:#12161c}pre{background:#1d242d}dt{color:#94a1b0}a{color:#7db7f0}}`;
const styleHash = createHash('sha256').update(style).digest('base64');

export function startPageRoutes(app: FastifyInstance, context: HttpContext): void {
  declare(app, '/', 'start_page', {
    GET: [
      'none',
      async (request, reply) =>
        reply
          .type('text/html; charset=utf-8')
          .header(
            'content-security-policy',
            `default-src 'none'; style-src 'sha256-${styleHash}'; frame-ancestors 'none'`,
          )
          .send(await pageOf(context, request)),
    ],
  });
}

async function pageOf(context: HttpContext, request: FastifyRequest): Promise<string> {
  const base = publicBaseOf(context.config, request);
  const host = escapeHtml(base.replace(/^https?:\/\//, ''));
  const insecure = base.startsWith('https:') ? '' : '--tls-verify=false ';
  const refusal = await refusalOf(context, request);
  const { mode, steps, note } =
    context.access.mode !== 'open'
      ? tokenPage(host, insecure)
      : refusal === undefined
        ? openPage(host, insecure, context.config.access.openOnNetwork)
        : refusingPage(refusal);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Berth at ${host}</title>
<style>${style}</style></head>
<body><h1>Berth</h1>
<p>A container registry.</p>
<dl><dt>version</dt><dd>${escapeHtml(context.version)}</dd><dt>access</dt><dd>${mode}</dd></dl>
${note === undefined ? '' : `<p>${escapeHtml(note)}</p>\n`}${steps.map(([text, command]) => `<p>${text}</p>\n<pre>${command}</pre>`).join('\n')}
<p>Documentation: README.md and the docs folder that came with this program.</p>
</body></html>
`;
}

/** Why pushes and pulls that come the way of this request are refused, in mode open. */
async function refusalOf({ access }: HttpContext, request: FastifyRequest): Promise<string | undefined> {
  if (access.mode !== 'open') return undefined;
  const { remoteAddress, host, forwarded, clientAddress, userAgent, localUser } = factsOf(request);
  const facts = { remoteAddress, host, forwarded, clientAddress, userAgent, localUser };
  // The page that has the link to this one is not who would push.
  const asProgram = { ...facts, crossSite: false, authorization: undefined, sessionCookie: undefined };
  const answer = await access.authenticate(asProgram);
  return answer.outcome === 'refused' ? answer.reason : undefined;
}

type Step = readonly [text: string, command: string];

interface Page {
  readonly mode: string;
  readonly steps: readonly Step[];
  readonly note?: string;
}

function refusingPage(refusal: string): Page {
  return {
    mode: 'open to its own machine only',
    steps: [],
    note: `Pushes and pulls that come this way are refused: ${refusal}.`,
  };
}

function openPage(host: string, insecure: string, onNetwork: boolean): Page {
  const who = onNetwork ? 'everybody who reaches this page' : 'everybody on this machine';
  return {
    mode: `open: ${who} may push and pull`,
    steps: [
      ['Push an image to it:', `podman push ${insecure}alpine ${host}/alpine`],
      ['List what is here:', `podman search ${insecure}${host}/`],
    ],
  };
}

function tokenPage(host: string, insecure: string): Page {
  return {
    mode: 'token: sign in to push, and to pull what is not public',
    steps: [
      [
        'Sign in with the name and password that an administrator gave you:',
        `podman login ${insecure}${host}`,
      ],
      ['Push an image into the namespace of your name:', `podman push ${insecure}alpine ${host}/NAME/alpine`],
      ['List what you may see:', `podman search ${insecure}${host}/`],
    ],
  };
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
