// Repository names hold slashes, which a route parameter cannot match. Writing them as %2F before routing lets each endpoint
// keep its own declared route; both spellings then mean the same.

// The rest is matched from the right: a name may itself contain `blobs` or `manifests`.
const repositoryPath =
  /^\/v2\/(.+)\/((?:manifests|referrers|blobs)\/[^/]+|tags\/list|blobs\/uploads\/[^/]*)$/;
const absoluteForm = /^https?:\/\/[^/?#]*/i;

/** The request target with the slashes of a repository name escaped; an absolute-form target loses scheme and host. */
export function escapeRepositoryPath(target: string): string {
  const url = target.startsWith('/') ? target : target.replace(absoluteForm, '') || '/';
  if (!url.startsWith('/v2/')) return url;
  const mark = url.indexOf('?');
  const path = mark < 0 ? url : url.slice(0, mark);
  const match = repositoryPath.exec(path);
  if (match === null) return url;
  const [, name = '', rest = ''] = match;
  if (!name.includes('/')) return url;
  return `/v2/${name.replaceAll('/', '%2F')}/${rest}${mark < 0 ? '' : url.slice(mark)}`;
}
