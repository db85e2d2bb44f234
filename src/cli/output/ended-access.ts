// What ends when a user or an organization goes, and what stays, in words.
import { countText, listText } from './text.ts';

export interface Ended {
  readonly password?: boolean;
  readonly tokens?: number;
  readonly sessions?: number;
  readonly refreshTokens?: number;
  readonly uploads?: number;
}

export interface Stays {
  /** That the user made: they go on working. */
  readonly robots?: readonly string[] | undefined;
  /** Of the user's own namespace. */
  readonly repositories?: number;
  readonly onlyOwnerOf?: readonly string[];
}

/** "1 password, 3 tokens, 2 sessions and 1 push in progress" */
export function endedText(ended: Ended): string {
  const parts = [
    [ended.password ? 1 : 0, 'password'],
    [ended.tokens ?? 0, 'token'],
    [ended.sessions ?? 0, 'session'],
    [ended.refreshTokens ?? 0, 'stored login'],
  ] as const;
  const words = parts.filter(([count]) => count > 0).map(([count, noun]) => countText(count, noun));
  const uploads = ended.uploads ?? 0;
  if (uploads > 0) words.push(`${uploads} ${uploads === 1 ? 'push' : 'pushes'} in progress`);
  return words.length === 0 ? 'nothing was in use' : listText(words);
}

/** What goes on without the user, and what somebody has to see to. */
export function staysText(
  name: string,
  { robots = [], repositories = 0, onlyOwnerOf = [] }: Stays,
): readonly string[] {
  const lines: string[] = [];
  if (robots.length > 0) lines.push(`Robots that ${name} made stay: ${robots.join(', ')}`);
  if (repositories > 0)
    lines.push(`${name} owns namespace ${name} (${countText(repositories, 'repository')})`);
  for (const organization of onlyOwnerOf) {
    lines.push(
      `${name} is the only owner of ${organization}: berth org member add ${organization} USER --owner`,
    );
  }
  return lines;
}
