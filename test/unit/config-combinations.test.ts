// Settings that are each allowed and cannot be had together: the exact text of every fault.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { faultsOf, load } from '../support/configuration.ts';

describe('settings that contradict each other', () => {
  test('TLS with one file only is refused', (t) => {
    assert.deepEqual(faultsOf(t, 'http:\n  tls:\n    key: a.key\n'), [
      'berth.yaml:3: http.tls.key is set and http.tls.certificate is not: TLS needs both files, plain HTTP neither',
    ]);
  });

  test('an open registry that speaks of other machines is refused unless that is said', (t) => {
    const yaml = (more: string) =>
      `access: {mode: open${more}}\nhttp:\n  address: 0.0.0.0\n  publicUrl: https://r.example.com\n  trustedProxies: [10.0.0.1]\n`;
    const remedy =
      'Without sign-in anybody who reaches it could push and delete; if that is meant, set access.openOnNetwork: true (BERTH_ACCESS_OPEN_ON_NETWORK=true)';
    assert.deepEqual(faultsOf(t, yaml('')), [
      `berth.yaml:3: access.mode open is for this machine only, but http.address 0.0.0.0 is not a loopback address. ${remedy}`,
      `berth.yaml:4: access.mode open is for this machine only, but http.publicUrl https://r.example.com is the name of another place. ${remedy}`,
      `berth.yaml:5: access.mode open is for this machine only, but http.trustedProxies lets requests of other machines in. ${remedy}`,
    ]);
    assert.deepEqual(faultsOf(t, yaml(', openOnNetwork: true')), []);
  });

  test('times and sizes that contradict each other are refused', (t) => {
    assert.deepEqual(faultsOf(t, 'storage:\n  upload: {idleExpiry: 8d}\n  manifestSizeLimit: 1GiB\n'), [
      'berth.yaml:2: storage.upload.idleExpiry is longer than storage.upload.longest, which would always come first',
      'berth.yaml:3: storage.manifestSizeLimit: allowed: 1B to 64MiB, since a manifest is held in memory whole',
    ]);
    const yaml = [
      'auth:',
      '  token: {lifetime: 30s}',
      '  personalToken: {longestExpiry: 30d}',
      '  robotToken: {defaultExpiry: never, longestExpiry: 1d}',
      '  session:',
      '    idle: 8d',
    ].join('\n');
    assert.deepEqual(faultsOf(t, yaml), [
      'berth.yaml:3: auth.personalToken.defaultExpiry is longer than auth.personalToken.longestExpiry, which no token may be',
      'berth.yaml:4: auth.robotToken.defaultExpiry is longer than auth.robotToken.longestExpiry, which no token may be',
      'berth.yaml:6: auth.session.idle is longer than auth.session.longest, which would always come first',
      'berth.yaml:2: auth.token.lifetime: allowed: 60s or more, since clients take a shorter life for that',
    ]);
    assert.deepEqual(faultsOf(t, 'auth: {token: {lifetime: 2h, keyRotation: 1h}}'), [
      'berth.yaml:1: auth.token.lifetime is longer than auth.token.keyRotation, so that a token would outlive the key that verifies it',
    ]);
    assert.deepEqual(faultsOf(t, 'auth: {personalToken: {defaultExpiry: never, longestExpiry: never}}'), []);
  });

  test('a password of the first administrator that no user could set is refused without being repeated', (t) => {
    const sentence = 'access.adminPassword: allowed: 12 characters (auth.password.minimumLength) to 72 bytes';
    for (const password of ['short', 'ü'.repeat(37)]) {
      const environment = { BERTH_ACCESS_ADMIN_PASSWORD: password };
      assert.deepEqual(faultsOf(t, '', { environment }), [`BERTH_ACCESS_ADMIN_PASSWORD: ${sentence}`]);
    }
    assert.deepEqual(faultsOf(t, 'access: {adminPassword: "a secret\\nof two lines"}'), [
      'berth.yaml:1: access.adminPassword: found something else, allowed: a text without line breaks',
    ]);
    assert.deepEqual(faultsOf(t, 'access:\n  adminPassword: correct horse battery\n'), []);
  });

  test('a socket is a path that the system can bind, auto or off', (t) => {
    assert.deepEqual(faultsOf(t, `http: {socket: /run/${'x'.repeat(120)}}`), [
      'berth.yaml:1: http.socket is longer than the 107 bytes that the system allows for a socket',
    ]);
    assert.deepEqual(faultsOf(t, 'http: {socket: berth.sock}'), [
      'berth.yaml:1: http.socket: found "berth.sock", allowed: auto, off or an absolute path',
    ]);
    assert.equal(load(t, 'http: {socket: /run/berth.sock}').config.http.socket, '/run/berth.sock');
  });

  test('a schedule of backups needs a destination, and that lies outside of the data folder', (t) => {
    assert.deepEqual(faultsOf(t, 'backup: {schedule: 30 2 * * *}'), [
      'berth.yaml:1: backup.schedule is set and backup.destination is not: say where backups go',
    ]);
    const yaml = (destination: string) => `data: /srv/berth\nbackup: {destination: ${destination}}`;
    for (const inside of ['/srv/berth', '/srv/berth/backup']) {
      assert.deepEqual(faultsOf(t, yaml(inside)), [
        'berth.yaml:2: backup.destination lies in the data folder: choose a folder elsewhere, best on another disk',
      ]);
    }
    assert.equal(load(t, yaml('/srv/berth-backup')).config.backup.destination, '/srv/berth-backup');
  });
});
