// The page that a browser gets at `/`: what this is, and how to push to it.
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { declare, type HttpContext } from './context.ts';

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:4rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.6rem;margin:0}pre{background:#f1f4f8;padding:.8rem 1rem;border-radius:6px;overflow-x:auto}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:#5b6776}dd{margin:0}a{color:#0b5cad}
@media(prefers-color-scheme:dark){body{color:#dfe5ec;background:#12161c}pre{background:#1d242d}dt{color:#94a1b0}a{color:#7db7f0}}`;
const styleHash = createHash('sha256').update(style).digest('base64');

export function startPageRoutes(app: FastifyInstance, context: HttpContext): void {
  declare(app, '/', 'start_page', {
    GET: [
      'none',
      (request, reply) =>
        reply
          .type('text/html; charset=utf-8')
          .header(
            'content-security-policy',
            `default-src 'none'; style-src 'sha256-${styleHash}'; frame-ancestors 'none'`,
          )
          .header('referrer-policy', 'no-referrer')
          .header('cross-origin-opener-policy', 'same-origin')
          .header('cross-origin-resource-policy', 'same-origin')
          .send(pageOf(context, request)),
    ],
  });
}

function pageOf(context: HttpContext, request: FastifyRequest): string {
  const { publicUrl } = context.config.http;
  const host = escapeHtml(publicUrl === undefined ? request.host : new URL(publicUrl).host);
  const secure = (publicUrl ?? `${request.protocol}:`).startsWith('https:');
  const mode =
    context.access.mode === 'open'
      ? 'open: everybody who reaches this page may push and pull'
      : 'token: sign in to push';
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Berth at ${host}</title>
<style>${style}</style></head>
<body><h1>Berth</h1>
<p>A container registry.</p>
<dl><dt>version</dt><dd>${escapeHtml(context.version)}</dd><dt>access</dt><dd>${mode}</dd></dl>
<p>Push an image to it:</p>
<pre>podman push ${secure ? '' : '--tls-verify=false '}alpine ${host}/alpine</pre>
<p>List what is here:</p>
<pre>podman search ${secure ? '' : '--tls-verify=false '}${host}/</pre>
<p>Documentation: README.md and the docs folder that came with this program.</p>
</body></html>
`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
