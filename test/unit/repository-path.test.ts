// The spelling of repository names in paths: slashes as they are and as %2F mean the same.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { escapeRepositoryPath } from '../../src/http/repository-path.ts';

describe('a repository name in a path of the management API', () => {
  test('ends at the first component that is a hyphen alone, or with the path', () => {
    const base = '/api/v1/repositories';
    const cases = [
      [`${base}/acme/team/app/-/tags/v1.2`, `${base}/acme%2Fteam%2Fapp/-/tags/v1.2`],
      [`${base}/acme/tags/-/tags`, `${base}/acme%2Ftags/-/tags`],
      [`${base}/acme/app`, `${base}/acme%2Fapp`],
      [
        `${base}/acme/app/-/manifests/sha256:00?platform=linux/arm64`,
        `${base}/acme%2Fapp/-/manifests/sha256:00?platform=linux/arm64`,
      ],
      [`${base}/acme/a--b/-/tags/-/x`, `${base}/acme%2Fa--b/-/tags/-/x`],
      [`http://berth${base}/acme/app`, `${base}/acme%2Fapp`],
    ];
    for (const [written, escaped] of cases) assert.equal(escapeRepositoryPath(written ?? ''), escaped);
  });

  test('is left alone where it is escaped already, or where there is none', () => {
    for (const path of [
      '/api/v1/repositories',
      '/api/v1/repositories?namespace=acme',
      '/api/v1/repositories/acme%2Fapp/-/tags',
      '/api/v1/repositories/alpine/-/tags',
      '/api/v1/namespaces/acme/grants/1',
    ]) {
      assert.equal(escapeRepositoryPath(path), path);
    }
  });
});
