// What manifests and configs say of platforms and signatures, and what strangers put in their place.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  parsePlatform,
  platformsListed,
  platformsOfConfig,
  tellsSignature,
} from '../../src/oci/description.ts';

const at = (os: unknown, architecture: unknown, variant?: unknown) => ({
  platform: { os, architecture, variant },
});

describe('platforms', () => {
  test('of an index are listed once, in one form, without attestations', () => {
    const listed = platformsListed([
      ...[at('linux', 'amd64'), at('linux', 'arm64', 'v8'), at('linux', 'arm', 'v7'), at('linux', 'arm64')],
      ...[at('unknown', 'unknown'), at(1, 2), {}, null, 'x', at('linux', 'a b'), at('lin/ux', 'x')],
    ]);
    assert.deepEqual(listed, ['linux/amd64', 'linux/arm64', 'linux/arm/v7']);
    for (const none of [undefined, null, {}, 'x']) assert.deepEqual(platformsListed(none), []);
    assert.equal(
      platformsListed(Array.from({ length: 500 }, (_, index) => at('linux', `a${index}`))).length,
      64,
    );
  });

  test('of an image are what its config says, if anything', () => {
    const read = (text: string) => platformsOfConfig(Buffer.from(text));
    assert.deepEqual(read('{"os":"linux","architecture":"ppc64le"}'), ['linux/ppc64le']);
    for (const text of [
      '',
      'x',
      '[]',
      '{}',
      '{"os":"linux"}',
      '{"os":"","architecture":""}',
      '['.repeat(9999),
    ])
      assert.deepEqual(read(text), [], text.slice(0, 20));
  });

  test('are read as people write them', () => {
    assert.equal(parsePlatform('linux/arm64/v8'), 'linux/arm64');
    assert.equal(parsePlatform('linux/arm/v6'), 'linux/arm/v6');
    for (const text of ['linux', 'linux/', '/', 'a/b/c/d', 'unknown/unknown'])
      assert.equal(parsePlatform(text), undefined);
  });
});

test('a signature is told from an attestation', () => {
  const bundle = 'application/vnd.dev.sigstore.bundle.v0.3+json';
  const predicate = (type: string) => ({ 'dev.sigstore.bundle.predicateType': type });
  assert.equal(tellsSignature('application/vnd.cncf.notary.signature', undefined), true);
  assert.equal(tellsSignature('application/vnd.dev.cosign.artifact.sig.v1+json', null), true);
  assert.equal(tellsSignature(bundle, predicate('https://sigstore.dev/cosign/sign/v1')), true);
  assert.equal(tellsSignature(bundle, predicate('https://slsa.dev/provenance/v1')), false);
  assert.equal(tellsSignature('application/spdx+json', undefined), false);
  assert.equal(tellsSignature(undefined, 'x'), false);
});
