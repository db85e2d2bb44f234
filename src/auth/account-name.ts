// Names of whoever has an account: users and organizations (one component of the repository grammar), robots (acme+ci), teams
// (acme/dev), and subjects of grants, which may be any of them.

/** A name, pattern or subject that cannot be. The message is a sentence for a person and says what to do. */
export class InvalidNameError extends Error {
  override readonly name = 'InvalidNameError';
}

/** Names that nobody may register: they mean something else, or would deceive. access.reservedNames adds to them. */
export const builtInReservedNames: readonly string[] = [
  'library',
  'system',
  'admin',
  'root',
  'api',
  'token',
  'v1',
  'v2',
  'extensions',
  'anonymous',
  'authenticated',
];

/** The administrator whom the first start makes; the one user with a reserved name. */
export const firstAdministrator = 'admin';

const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const longestAccountName = 64;

/** Whether `text` could be the name of a user or an organization, reserved or not. */
export function isAccountName(text: string): boolean {
  return text.length >= 2 && isComponent(text);
}

// The length first: nothing long reaches the regular expression.
function isComponent(text: string): boolean {
  return text.length >= 1 && text.length <= longestAccountName && component.test(text);
}

/**
 * The name of a new user or organization. Throws InvalidNameError where it breaks the grammar or is reserved; `reserved` are
 * the names of access.reservedNames.
 */
export function parseAccountName(text: string, reserved: readonly string[] = []): string {
  if (!isAccountName(text)) {
    throw new InvalidNameError(
      `${quoted(text)} cannot be a name: use 2 to ${longestAccountName} lower-case letters and digits, ` +
        'joined inside by one of . _ __ -',
    );
  }
  if (builtInReservedNames.includes(text) || reserved.includes(text))
    throw new InvalidNameError(`the name ${text} is reserved: choose another one`);
  return text;
}

/** A robot's name, 'acme+ci', in its parts. A space is read as the plus that it was before a form decoded it. */
export function parseRobotName(text: string): {
  readonly name: string;
  readonly namespace: string;
  readonly robot: string;
} {
  const [namespace = '', robot = '', ...rest] = text.replaceAll(' ', '+').split('+');
  if (rest.length > 0 || !isAccountName(namespace) || !isComponent(robot))
    throw new InvalidNameError(
      `${quoted(text)} cannot be the name of a robot: write NAMESPACE+ROBOT, as in acme+ci`,
    );
  return { name: `${namespace}+${robot}`, namespace, robot };
}

/** A team's name, 'acme/dev', in its parts. */
export function parseTeamName(text: string): {
  readonly name: string;
  readonly organization: string;
  readonly team: string;
} {
  const [organization = '', team = '', ...rest] = text.split('/');
  if (rest.length > 0 || !isAccountName(organization) || !isComponent(team))
    throw new InvalidNameError(
      `${quoted(text)} cannot be the name of a team: write ORGANIZATION/TEAM, as in acme/dev`,
    );
  return { name: text, organization, team };
}

export interface Subject {
  readonly kind: 'anonymous' | 'authenticated' | 'user' | 'robot' | 'team';
  /** As the account store has it: 'alice', 'acme+ci', 'acme/dev', 'anonymous'. */
  readonly name: string;
}

/**
 * Whom a grant is for: 'alice', 'team:acme/dev', 'acme+ci', 'authenticated' or 'anonymous'. Only the spelling is judged, not
 * whether there is one. Throws InvalidNameError.
 */
export function parseSubject(text: string): Subject {
  if (text === 'anonymous' || text === 'authenticated') return { kind: text, name: text };
  if (text.startsWith('team:')) return { kind: 'team', name: parseTeamName(text.slice(5)).name };
  if (/[+ ]/.test(text)) return { kind: 'robot', name: parseRobotName(text).name };
  if (isAccountName(text)) return { kind: 'user', name: text };
  const hint = text.includes('/') ? `. Write a team as team:${clipped(text)}` : '';
  throw new InvalidNameError(
    `${quoted(text)} is no subject: write a user (alice), a team (team:acme/dev), a robot (acme+ci), ` +
      `authenticated or anonymous${hint}`,
  );
}

/** A subject as people write it, and parseSubject reads it. */
export function formatSubject(subject: Subject): string {
  return subject.kind === 'team' ? `team:${subject.name}` : subject.name;
}

function clipped(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function quoted(text: string): string {
  return JSON.stringify(clipped(text));
}
