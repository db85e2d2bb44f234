// Schemas that several endpoints share, and how values are written in JSON: times as RFC 3339 UTC with milliseconds.
import { type TObject, type TProperties, type TSchema, Type } from 'typebox';
import { registryRoles, roles } from '../../../storage/account-store.ts';
import { visibilities } from '../../../storage/metadata-store.ts';
import { invalidMember } from './problem.ts';

/** An object without other members than these. */
export function strict<Properties extends TProperties>(
  properties: Properties,
  description?: string,
): TObject<Properties> {
  return Type.Object(properties, {
    additionalProperties: false,
    ...(description === undefined ? {} : { description }),
  });
}

/** A value, or null for "none". */
export function nullable<Schema extends TSchema>(schema: Schema, description?: string) {
  return Type.Union([schema, Type.Null()], description === undefined ? {} : { description });
}

/** The answer of a list. */
export function listOf<Schema extends TSchema>(item: Schema) {
  return strict({
    items: Type.Array(item),
    next: nullable(Type.String(), 'The cursor of the next page; null: this is the last.'),
  });
}

const timePattern = '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?(Z|[+-]\\d{2}:\\d{2})$';

export const time = Type.String({
  pattern: timePattern,
  description: 'a time as in RFC 3339, such as 2027-03-31T00:00:00.000Z',
});
export const role = Type.Enum([...roles]);
export const registryRole = Type.Enum([...registryRoles]);
export const visibility = Type.Enum([...visibilities]);
/** A name that a handler parses, and says itself what is wrong with. */
export const name = Type.String({ minLength: 1, maxLength: 255 });
export const fullName = Type.String({ maxLength: 200, description: 'A name for people.' });
export const email = Type.String({
  maxLength: 254,
  pattern: '^[^\\s@]+@[^\\s@]+$',
  description: 'an address such as ana@example.com',
});
export const description = Type.String({ maxLength: 1000 });
/** Longer ones are refused by the rules of passwords, with a better sentence. */
export const password = Type.String({ minLength: 1, maxLength: 1024 });
export const dryRun = Type.Optional(
  Type.Boolean({ description: 'Only say what would happen: 200 with the plan.' }),
);

/** Unix seconds as text. */
export function timeText(at: number): string {
  return new Date(Math.round(at * 1000)).toISOString();
}

export function timeTextOrNull(at: number | undefined): string | null {
  return at === undefined ? null : timeText(at);
}

/** Unix seconds of a time that fits the schema. Throws the invalid Problem for 2027-02-31. */
export function parseTime(text: string, pointer: string): number {
  const milliseconds = Date.parse(text);
  // Date.parse rolls the 31st of February over into March.
  const day = new Date(`${text.slice(0, 10)}T00:00:00Z`);
  if (
    Number.isNaN(milliseconds) ||
    Number.isNaN(day.getTime()) ||
    day.toISOString().slice(0, 10) !== text.slice(0, 10)
  ) {
    throw invalidMember(pointer, `there is no time ${text}`);
  }
  return Math.floor(milliseconds / 1000);
}
