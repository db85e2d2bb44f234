// Rights: what grants, ownership, visibility and registry roles add up to, and what a ceiling takes away.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Ceiling } from '../../src/auth/access.ts';
import { explain } from '../../src/auth/explain.ts';
import { deniedSentence, hiddenSentence } from '../../src/auth/refusals.ts';
import { Rights } from '../../src/auth/rights.ts';
import { includesRole, rankOf } from '../../src/auth/roles.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import { type HeldGrant, type Role, roles, type SubjectFacts } from '../../src/storage/account-store.ts';
import type { Visibility } from '../../src/storage/metadata-store.ts';
import { grant, subject } from '../support/fake-accounts.ts';

const now = 1000;

function rightsOf(
  facts: SubjectFacts,
  more: { common?: readonly HeldGrant[]; ceiling?: Ceiling; personalNamespaces?: boolean } = {},
): Rights {
  return new Rights({
    holder: { kind: facts.kind, facts },
    commonGrants: more.common ?? [],
    ceiling: more.ceiling,
    personalNamespaces: more.personalNamespaces ?? true,
  });
}

function role(rights: Rights, repository: string, visibility?: Visibility): Role | undefined {
  return rights.roleOn(repository as RepositoryName, visibility, now);
}

const nobody = (common: readonly HeldGrant[] = []) =>
  new Rights({ holder: { kind: 'anonymous' }, commonGrants: common, personalNamespaces: true });

describe('who may what', () => {
  test('a user is admin of its own namespace and of nothing beside it', () => {
    const sam = rightsOf(subject('sam'));
    assert.equal(role(sam, 'sam/alpine'), 'admin');
    assert.equal(role(sam, 'sam/a/b'), 'admin');
    for (const other of ['sam', 'joe/alpine', 'sam2/x', 'evil-sam/x', 'x/sam/y'])
      assert.equal(role(sam, other), undefined);
    assert.equal(sam.roleOnNamespace('sam', now), 'admin');
    assert.equal(sam.roleOnNamespace('joe', now), undefined);
  });

  test('a guest has no namespace, and neither has anybody where there are no personal ones', () => {
    assert.equal(role(rightsOf(subject('kim', { guest: true, namespace: 'kim' })), 'kim/x'), undefined);
    assert.equal(role(rightsOf(subject('sam'), { personalNamespaces: false }), 'sam/x'), undefined);
  });

  test('a robot owns nothing, least of all the namespace it belongs to', () => {
    const ci = rightsOf(subject('acme+ci'));
    assert.equal(role(ci, 'acme/web'), undefined);
    assert.equal(ci.roleOnNamespace('acme', now), undefined);
    assert.deepEqual(ci.pushPatterns(now), []);
  });

  test('owners are admin of their organization, members have what their grants say', () => {
    const owner = rightsOf(subject('ann', { organizations: [{ name: 'acme', role: 'owner' }] }));
    const member = rightsOf(subject('bob', { organizations: [{ name: 'acme', role: 'member' }] }));
    assert.equal(role(owner, 'acme/web/app'), 'admin');
    assert.equal(role(member, 'acme/web/app'), undefined);
    assert.deepEqual([owner.ownsOrganization('acme'), member.ownsOrganization('acme')], [true, false]);
    assert.deepEqual([owner.memberOf('acme'), member.memberOf('acme')], [true, true]);
    assert.deepEqual([owner.memberOf('other'), owner.ownsOrganization('ann')], [false, false]);
  });

  test('grants add up, and the greatest counts', () => {
    const bob = rightsOf(
      subject('bob', {
        grants: [
          grant('bob', 'read', 'acme/**'),
          grant('acme/dev', 'maintain', 'acme/web-*'),
          grant('bob', 'write', 'acme/web-x'),
        ],
      }),
    );
    assert.equal(role(bob, 'acme/api'), 'read');
    assert.equal(role(bob, 'acme/web-x'), 'maintain');
    assert.equal(role(bob, 'acme/web-x/y'), 'read');
    assert.equal(role(bob, 'evil-acme/web'), undefined);
  });

  test('a grant ends at its time', () => {
    const kim = rightsOf(subject('kim', { grants: [grant('kim', 'read', 'acme/web', { expiresAt: now })] }));
    assert.equal(role(kim, 'acme/web'), undefined);
    assert.equal(kim.roleOn('acme/web' as RepositoryName, undefined, now - 1), 'read');
    assert.deepEqual(kim.namespaces(now), ['kim']);
  });

  test('public is for everybody, internal for whoever signed in and is no guest', () => {
    const subjects = {
      user: subject('sam'),
      guest: subject('kim', { guest: true }),
      robot: subject('acme+ci'),
    };
    const seen = (rights: Rights) =>
      (['public', 'internal', 'private', undefined] as const).map((visibility) =>
        role(rights, 'x/y', visibility),
      );
    assert.deepEqual(seen(nobody()), ['read', undefined, undefined, undefined]);
    assert.deepEqual(seen(rightsOf(subjects.guest)), ['read', undefined, undefined, undefined]);
    assert.deepEqual(seen(rightsOf(subjects.user)), ['read', 'read', undefined, undefined]);
    assert.deepEqual(seen(rightsOf(subjects.robot)), ['read', 'read', undefined, undefined]);
  });

  test('grants to authenticated are for users and robots but not for guests, those to anonymous for all, and only to read', () => {
    const common = [grant('authenticated', 'write', 'pub/in'), grant('anonymous', 'admin', 'pub/out')];
    assert.equal(role(rightsOf(subject('sam'), { common }), 'pub/in'), 'write');
    assert.equal(role(rightsOf(subject('a1+ci'), { common }), 'pub/in'), 'write');
    assert.equal(role(rightsOf(subject('kim', { guest: true }), { common }), 'pub/in'), undefined);
    assert.equal(role(nobody(common), 'pub/in'), undefined);
    for (const rights of [rightsOf(subject('kim', { guest: true }), { common }), nobody(common)])
      assert.equal(role(rights, 'pub/out'), 'read');
  });

  test('administrators may all, auditors read all; who opens the folder is administrator', () => {
    const root = rightsOf(subject('root1', { registryRole: 'administrator' }));
    const eve = rightsOf(subject('eve', { registryRole: 'auditor' }));
    const local = new Rights({
      holder: { kind: 'local', name: 'local:0(root)' },
      commonGrants: [],
      personalNamespaces: true,
    });
    for (const repository of ['alpine', 'library/alpine', 'acme/web']) {
      assert.equal(role(root, repository), 'admin');
      assert.equal(role(local, repository), 'admin');
      assert.equal(role(eve, repository), 'read');
    }
    // Whatever an auditor owns or was granted: he changes nothing.
    assert.equal(role(eve, 'eve/x'), 'read');
    assert.equal(eve.roleOnNamespace('eve', now), 'read');
    assert.deepEqual(eve.pushPatterns(now), []);
    assert.equal(root.roleOnNamespace('library', now), 'admin');
    assert.equal(local.registryRole, 'administrator');
    assert.deepEqual(
      [root, eve, local].map((one) => one.seesEveryNamespace(now)),
      [true, true, true],
    );
    assert.deepEqual(root.pushPatterns(now), ['**']);
  });

  test('an open registry gives everybody its content, and nobody its administration', () => {
    const open = new Rights({
      holder: { kind: 'everything', name: 'anonymous' },
      commonGrants: [],
      personalNamespaces: true,
    });
    assert.equal(role(open, 'acme/web'), 'admin');
    assert.equal(open.roleOnNamespace('acme', now), 'admin');
    assert.equal(open.registryRole, 'user');
  });

  test('namespaces are those it has something to do with', () => {
    const facts = subject('sam', {
      organizations: [{ name: 'acme', role: 'member' }],
      grants: [grant('sam', 'read', 'joe/x'), grant('sam', 'read', '**'), grant('sam', 'read', 'alpine')],
    });
    assert.deepEqual(rightsOf(facts).namespaces(now), ['acme', 'joe', 'library', 'sam']);
    assert.equal(rightsOf(facts).seesEveryNamespace(now), true);
    assert.equal(rightsOf(subject('sam')).seesEveryNamespace(now), false);
    const limited = rightsOf(facts, { ceiling: { role: undefined, patterns: ['joe/**'] } });
    assert.deepEqual(limited.namespaces(now), ['joe']);
    assert.equal(limited.seesEveryNamespace(now), false);
  });
});

describe('a ceiling', () => {
  const facts = subject('sam', { organizations: [{ name: 'acme', role: 'owner' }] });

  test('bounds the role, and the repositories, of anybody', () => {
    const limited = rightsOf(facts, { ceiling: { role: 'write', patterns: ['acme/web/**'] } });
    assert.equal(role(limited, 'acme/web/app'), 'write');
    assert.equal(role(limited, 'acme/billing'), undefined);
    assert.equal(role(limited, 'acme/billing', 'public'), undefined);
    assert.equal(role(limited, 'sam/x'), undefined);
    assert.deepEqual(limited.pushPatterns(now), ['acme/web/**']);
    assert.equal(limited.roleOnNamespace('acme', now), undefined);
    assert.ok(limited.limited && !limited.unlimited.limited);
    assert.equal(role(limited.unlimited, 'acme/billing'), 'admin');
  });

  test('gives nothing that was not there', () => {
    const ceiling: Ceiling = { role: 'admin', patterns: ['joe/**', 'acme/x'] };
    const limited = rightsOf(facts, { ceiling });
    assert.equal(role(limited, 'joe/x'), undefined);
    assert.equal(role(limited, 'joe/x', 'public'), 'read');
    assert.equal(role(limited, 'acme/x'), 'admin');
  });

  test('makes an administrator an auditor, or nobody special', () => {
    const admin = subject('root1', { registryRole: 'administrator' });
    const withCeiling = (ceiling: Ceiling) => rightsOf(admin, { ceiling });
    assert.equal(withCeiling({ role: 'read', patterns: undefined }).registryRole, 'auditor');
    assert.equal(withCeiling({ role: 'maintain', patterns: ['**'] }).registryRole, 'auditor');
    assert.equal(withCeiling({ role: 'admin', patterns: undefined }).registryRole, 'administrator');
    assert.equal(withCeiling({ role: undefined, patterns: ['acme/**'] }).registryRole, 'user');
    assert.equal(role(withCeiling({ role: 'read', patterns: undefined }), 'acme/web'), 'read');
    assert.equal(withCeiling({ role: undefined, patterns: [] }).roleOnNamespace('acme', now), undefined);
  });

  test('takes ownership of an organization away unless it lets all of it through', () => {
    const owns = (ceiling: Ceiling) => rightsOf(facts, { ceiling }).ownsOrganization('acme');
    assert.equal(owns({ role: 'write', patterns: undefined }), false);
    assert.equal(owns({ role: undefined, patterns: ['acme/web'] }), false);
    assert.equal(owns({ role: 'admin', patterns: ['acme/**'] }), true);
    assert.equal(
      rightsOf(facts, { ceiling: { role: 'read', patterns: ['joe/**'] } }).memberOf('acme'),
      false,
    );
    assert.equal(rightsOf(facts, { ceiling: { role: 'read', patterns: undefined } }).memberOf('acme'), true);
  });

  test('never makes more of any right', () => {
    const patterns = fc.subarray([
      '**',
      'acme/**',
      'acme/web',
      'acme/w*',
      'sam/**',
      'sam/x',
      'joe/**',
      'alpine',
    ]);
    const held = fc
      .constantFrom('**', 'acme/**', 'acme/w*', 'joe/x')
      .chain((pattern) => fc.constantFrom(...roles).map((some) => grant('sam', some, pattern)));
    const visibility = fc.constantFrom('public', 'internal', 'private', undefined);
    const repository = fc.constantFrom('acme/web', 'acme/web/x', 'sam/x', 'joe/x', 'joe/y', 'alpine');
    const ceilings = fc.record({
      role: fc.option(fc.constantFrom(...roles), { nil: undefined }),
      patterns: fc.option(patterns, { nil: undefined }),
    });
    fc.assert(
      fc.property(
        fc.array(held, { maxLength: 3 }),
        ceilings,
        repository,
        visibility,
        (grants, ceiling, name, seen) => {
          const free = rightsOf(subject('sam', { grants }));
          const bound = free.within(ceiling);
          const with_ = role(bound, name, seen);
          const without = role(free, name, seen);
          assert.ok(with_ === undefined || includesRole(without, with_));
          if (with_ !== undefined && ceiling.role !== undefined) assert.ok(includesRole(ceiling.role, with_));
          const namespace = name.split('/')[0] ?? '';
          const onNamespace = bound.roleOnNamespace(namespace, now);
          // A role on all of a namespace is one on each repository in it.
          if (onNamespace !== undefined && name.includes('/')) assert.ok(includesRole(with_, onNamespace));
          for (const pattern of bound.pushPatterns(now))
            assert.ok(free.pushPatterns(now).length > 0, pattern);
        },
      ),
      { numRuns: 3000 },
    );
  });
});

describe('explanations', () => {
  test('every reason is named, the strongest first, and they come to the role', () => {
    const facts = subject('bob', {
      organizations: [{ name: 'acme', role: 'owner' }],
      grants: [grant('acme/dev', 'write', 'acme/web'), grant('bob', 'read', 'other/**')],
    });
    const rights = rightsOf(facts, { common: [grant('anonymous', 'read', 'acme/**')] });
    const reasons = rights.reasonsFor('acme/web' as RepositoryName, 'internal', now);
    assert.deepEqual(reasons.map(({ kind }) => kind).sort(), ['grant', 'grant', 'owner', 'visibility']);
    assert.equal(reasons[0]?.kind, 'owner');
    assert.equal(Math.max(...reasons.map((reason) => rankOf(reason.role))), rankOf('admin'));
    assert.equal(role(rights, 'acme/web', 'internal'), 'admin');
    const auditor = rightsOf({ ...facts, registryRole: 'auditor' });
    assert.equal(role(auditor, 'acme/web'), 'read');
    assert.ok(!auditor.ownsOrganization('acme'));
    const told = auditor.reasonsFor('acme/web' as RepositoryName, 'internal', now);
    assert.ok(told.every((reason) => reason.role === 'read'));
  });

  test('what is missing comes with the nearest team that has it', () => {
    const dave = rightsOf(subject('dave'));
    const team = grant('acme/dev', 'write', 'acme/**');
    const grants = [
      grant('acme+ci', 'write', 'acme/web'),
      grant('acme/ops', 'admin', 'acme/**'),
      team,
      grant('acme/x', 'write', 'acme/api'),
    ];
    const told = explain({
      rights: dave,
      repository: 'acme/web' as RepositoryName,
      visibility: 'internal',
      grants,
      now,
    });
    assert.equal(told.role, 'read');
    assert.deepEqual(told.actions, ['pull']);
    assert.deepEqual(
      told.because.map(({ kind }) => kind),
      ['visibility'],
    );
    assert.deepEqual(
      told.missing.map(({ action, needed, nearest }) => [action, needed, nearest?.subject]),
      [
        ['push', 'write', 'acme/dev'],
        ['delete', 'maintain', 'acme/ops'],
      ],
    );
    assert.equal(told.limitedBy, undefined);
  });

  test('only a user is told of a team, and only of teams', () => {
    const nearestTo = (rights: Rights, grants: readonly HeldGrant[]) =>
      explain({
        rights,
        repository: 'acme/web' as RepositoryName,
        visibility: undefined,
        grants,
        now,
      }).missing.map(({ nearest }) => nearest?.subject);
    const ofTeam = { ...grant('acme/dev', 'admin', 'acme/**'), subjectKind: 'team' } as const;
    const ofOther = grant('alice', 'admin', 'acme/**');
    assert.deepEqual(nearestTo(rightsOf(subject('dave')), [ofOther, ofTeam]), Array(3).fill('acme/dev'));
    assert.deepEqual(nearestTo(rightsOf(subject('dave')), [ofOther]), Array(3).fill(undefined));
    assert.deepEqual(nearestTo(rightsOf(subject('acme+ci')), [ofTeam]), Array(3).fill(undefined));
    assert.deepEqual(nearestTo(nobody(), [ofTeam]), Array(3).fill(undefined));
  });

  test('a ceiling is named where it takes something away', () => {
    const ceiling: Ceiling = { role: 'read', patterns: undefined };
    const limited = rightsOf(subject('sam'), { ceiling });
    const told = explain({
      rights: limited,
      repository: 'sam/x' as RepositoryName,
      visibility: undefined,
      grants: [],
      now,
    });
    assert.deepEqual([told.role, told.limitedBy], ['read', ceiling]);
    assert.equal(limited.limitOn('joe/x' as RepositoryName, 'public', now), undefined);
  });
});

describe('sentences', () => {
  const push = (rights: Rights, repository: string) =>
    hiddenSentence(rights, 'push', repository as RepositoryName, now);

  test('say who may not do what where, and what they may instead', () => {
    const sam = rightsOf(subject('sam'));
    const ci = rightsOf(subject('acme+ci', { grants: [grant('acme+ci', 'write', 'acme/web/**')] }));
    const dave = rightsOf(subject('dave'));
    assert.equal(push(sam, 'joe/alpine'), 'sam may not push to joe/alpine; your own namespace is sam/');
    assert.equal(
      push(ci, 'acme/billing'),
      'acme+ci may not push to acme/billing; it may push to acme/web/**',
    );
    assert.equal(
      deniedSentence(dave, 'push', 'acme/web' as RepositoryName, now),
      'dave may pull acme/web, but pushing needs the role write',
    );
    assert.equal(
      deniedSentence(dave, 'delete', 'acme/web' as RepositoryName, now),
      'dave may pull acme/web, but deleting needs the role maintain',
    );
    assert.equal(
      hiddenSentence(sam, 'delete', 'joe/alpine' as RepositoryName, now),
      'sam may not delete in joe/alpine; your own namespace is sam/',
    );
    assert.equal(
      push(rightsOf(subject('kim', { guest: true })), 'a1/b'),
      'kim may not push to a1/b; kim may not push anywhere',
    );
  });

  test('name the bounds of the token where the person may', () => {
    const read = rightsOf(subject('sam'), { ceiling: { role: 'read', patterns: undefined } });
    assert.equal(
      deniedSentence(read, 'push', 'sam/x' as RepositoryName, now),
      'sam may pull sam/x, but the token is limited to the role read',
    );
    const web = rightsOf(subject('sam'), { ceiling: { role: 'write', patterns: ['sam/web/**'] } });
    assert.equal(
      push(web, 'sam/x'),
      'sam may not push to sam/x with this token; the token is limited to the role write on sam/web/**',
    );
    assert.equal(push(web, 'joe/x'), 'sam may not push to joe/x; sam may push to sam/web/**');
  });

  test('stay short', () => {
    const grants = Array.from({ length: 50 }, (_, index) =>
      grant('sam', 'write', `org${index}/${'x'.repeat(200)}`),
    );
    assert.ok(push(rightsOf(subject('sam', { grants })), 'joe/x').length < 900);
  });
});
