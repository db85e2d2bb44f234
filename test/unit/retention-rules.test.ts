// The rules of retention as they are written: which hold, and what cannot be.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseRepositoryName } from '../../src/oci/name.ts';
import {
  compileRetention,
  InvalidRetentionError,
  type KeepTags,
  parseGoDuration,
} from '../../src/registry/retention-rules.ts';
import { versionOf } from '../../src/registry/tag-version.ts';
import { app, day } from '../support/retention.ts';

describe('the rules as they are written', () => {
  it('the first policy for a repository holds, and where there is none nothing is touched', () => {
    const rules = compileRetention('acme', {
      policies: [
        { repositories: ['acme/tmp/**', 'acme/ci-*'], keepTags: [{ mostRecentlyPushedCount: 1 }] },
        { repositories: ['**'], deleteUntagged: true },
      ],
    });
    const indexOf = (name: string) => rules.policyFor(parseRepositoryName(name))?.index;
    assert.deepEqual(['acme/tmp/a', 'acme/ci-1', 'acme/web', 'other/web'].map(indexOf), [0, 0, 1, undefined]);
    assert.equal(compileRetention('acme', { policies: [{}] }).policyFor(app)?.index, 0);
  });

  it('what cannot be is refused with where it is', () => {
    const faults: readonly (readonly [KeepTags, string, RegExp])[] = [
      [{ patterns: ['v('] }, '/policies/0/keepTags/0/patterns/0', /missing closing/],
      [{ patterns: ['*'] }, '/policies/0/keepTags/0/patterns/0', /write \.\*/],
      [{ patterns: ['(a{1000}){3}'] }, '/policies/0/keepTags/0/patterns/0', /too large|repeat/],
      [{ pushedWithin: '3 days' }, '/policies/0/keepTags/0/pushedWithin', /720h/],
      [{ pulledWithin: '' }, '/policies/0/keepTags/0/pulledWithin', /720h/],
      [{ semverPrereleases: true }, '/policies/0/keepTags/0/semverPrereleases', /highestSemverCount/],
    ];
    for (const [keep, pointer, message] of faults) {
      assert.throws(
        () => compileRetention('acme', { policies: [{ keepTags: [keep] }] }),
        (error: unknown) =>
          error instanceof InvalidRetentionError && error.pointer === pointer && message.test(error.message),
        JSON.stringify(keep),
      );
    }
  });

  it('durations are Go’s, with days and weeks', () => {
    const table = {
      '720h': 30 * day,
      '1h30m': 5400,
      '90s': 90,
      '30d': 30 * day,
      '1w2d': 9 * day,
      '1.5h': 5400,
    };
    for (const [text, seconds] of Object.entries(table))
      assert.equal(parseGoDuration(text, ''), seconds, text);
    for (const text of ['', '1', 'h', '1y', '-1h', '1h ', '999999999w'])
      assert.throws(() => parseGoDuration(text, ''), InvalidRetentionError, text);
  });

  it('versions are whole ones', () => {
    assert.equal(versionOf('v1.2.3')?.version, '1.2.3');
    assert.equal(versionOf('1.2.3-rc.1')?.version, '1.2.3-rc.1');
    for (const text of ['1.2', 'v1', 'latest', '1.2.3.4']) assert.equal(versionOf(text), undefined, text);
  });
});
