// Repository names hold slashes, which a route parameter cannot match. Writing them as %2F before routing lets each endpoint
// keep its own declared route; both spellings then mean the same.

// The rest is matched from the right: a name may itself contain `blobs` or `manifests`.
const repositoryPath =
  /^\/v2\/(.+)\/((?:manifests|referrers|blobs)\/[^/]+|tags\/list|blobs\/uploads\/[^/]*)$/;
const signaturesPath = /^\/extensions\/v2\/(.+)\/(signatures\/[^/]+)$/;
// No component of a name can be `-`: the first one that stands alone ends it.
const managedPath = /^\/api\/v1\/repositories\/(.+?)(\/-(?:\/.*)?)?$/;
const absoluteForm = /^https?:\/\/[^/?#]*/i;

/** The request target with the slashes of a repository name escaped; an absolute-form target loses scheme and host. */
export function escapeRepositoryPath(target: string): string {
  const url = target.startsWith('/') ? target : target.replace(absoluteForm, '') || '/';
  const mark = url.indexOf('?');
  const path = mark < 0 ? url : url.slice(0, mark);
  const query = mark < 0 ? '' : url.slice(mark);
  if (path.startsWith('/v2/')) {
    const [, name = '', rest = ''] = repositoryPath.exec(path) ?? [];
    if (name.includes('/')) return `/v2/${escapeSlashes(name)}/${rest}${query}`;
  } else if (path.startsWith('/extensions/')) {
    const [, name = '', rest = ''] = signaturesPath.exec(path) ?? [];
    if (name.includes('/')) return `/extensions/v2/${escapeSlashes(name)}/${rest}${query}`;
  } else {
    const [, name = '', rest = ''] = managedPath.exec(path) ?? [];
    if (name.includes('/')) return `/api/v1/repositories/${escapeSlashes(name)}${rest}${query}`;
  }
  return url;
}

function escapeSlashes(name: string): string {
  return name.replaceAll('/', '%2F');
}
