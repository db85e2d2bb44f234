// Lists of the management API: `limit`, an opaque `cursor`, {"items", "next"} and the same as a Link header.
import { type Static, Type } from 'typebox';
import type { Page } from '../../../storage/metadata-store.ts';
import { Problem } from './problem.ts';

const mostItems = 1000;
const longestCursor = 1024;

/** The query members that every list takes. */
export const pageMembers = {
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: mostItems,
      description: 'Items of a page; limits.pageSize unless told.',
    }),
  ),
  cursor: Type.Optional(
    Type.String({ maxLength: longestCursor, description: 'The `next` of the page before.' }),
  ),
};

export type PageQuery = Static<ReturnType<typeof Type.Object<typeof pageMembers>>>;

/** A page of a list, and where the next one begins. */
export interface ListPage<Item> {
  readonly items: readonly Item[];
  /** A key of the list's order: whatever `afterName` or `afterNumber` reads back. */
  readonly next: CursorKey | undefined;
}

/** One value, or the values of an order of several columns behind the name of that order; bytes where it is sealed. */
export type CursorKey = string | number | readonly (string | number)[] | Buffer;

/** The page of a store with its items as they are shown. `keyOf` gives what the next page begins after. */
export function pageOf<Stored, Item>(
  page: Page<Stored>,
  show: (stored: Stored) => Item,
  keyOf: (stored: Stored) => string | number,
): ListPage<Item> {
  const last = page.items.at(-1);
  return { items: page.items.map(show), next: page.more && last !== undefined ? keyOf(last) : undefined };
}

/** The name that a list in order of name goes on after. Throws the invalid Problem for a cursor of another list. */
export function afterName({ cursor }: PageQuery): string | undefined {
  return cursor === undefined ? undefined : readCursor(cursor, 'string');
}

/** The number that a list in order of a number goes on after. */
export function afterNumber({ cursor }: PageQuery): number | undefined {
  return cursor === undefined ? undefined : readCursor(cursor, 'number');
}

export function writeCursor(key: CursorKey): string {
  const bytes = Buffer.isBuffer(key) ? key : Buffer.from(JSON.stringify(key));
  return bytes.toString('base64url');
}

/** The values that a list of this order goes on after; `shape` is of what kind each is. */
export function afterKeys(
  { cursor }: PageQuery,
  order: string,
  shape: readonly ('string' | 'number')[],
): readonly (string | number)[] | undefined {
  if (cursor === undefined) return undefined;
  const [found, ...values] = readKeys(cursor);
  const fits =
    found === order &&
    values.length === shape.length &&
    values.every((value, index) => typeof value === shape[index]);
  if (!fits) throw wrongCursor();
  return values;
}

type Shape = 'string' | 'number';
type KeyOf<Kind extends Shape> = Kind extends 'string' ? string : number;
/** One page as a store is asked for it; `by` tells of what kind `after` is. */
type WantedPage<Shapes extends Readonly<Record<string, Shape>>> = {
  readonly [By in keyof Shapes & string]: {
    readonly by: By;
    readonly descending: boolean;
    readonly after: KeyOf<Shapes[By]> | undefined;
  };
}[keyof Shapes & string];

/**
 * The orders of a list: a name for each, and of what kind its key is. Each can be asked for backwards, with a minus in front; the
 * first holds unless another one is asked for. A cursor is good for its own order alone.
 */
export class Sorting<const Shapes extends Readonly<Record<string, Shape>>> {
  /** The query members of the list. */
  readonly members;
  readonly #shapes: Shapes;
  readonly #usual: string;

  constructor(shapes: Shapes) {
    this.#shapes = shapes;
    const orders = Object.keys(shapes).flatMap((by) => [by, `-${by}`]);
    this.#usual = orders[0] ?? '';
    const description = `${this.#usual} unless told; a minus is for backwards.`;
    this.members = { ...pageMembers, sort: Type.Optional(Type.Enum(orders, { description })) };
  }

  /** Throws the invalid Problem for a cursor of another order or list. */
  read(query: SortedQuery): WantedPage<Shapes> {
    const order = query.sort ?? this.#usual;
    const descending = order.startsWith('-');
    const by = descending ? order.slice(1) : order;
    const shape = this.#shapes[by] ?? 'string';
    const usual = () => (shape === 'string' ? afterName(query) : afterNumber(query));
    const after = order === this.#usual ? usual() : afterKeys(query, order, [shape])?.[0];
    return { by, descending, after } as WantedPage<Shapes>;
  }

  /** The `next` of a page whose last item has this key. */
  next({ sort = this.#usual }: SortedQuery, key: string | number): Exclude<CursorKey, Buffer> {
    return sort === this.#usual ? key : [sort, key];
  }

  /** The page of a store with its items as they are shown. */
  page<Stored, Item>(
    query: SortedQuery,
    page: Page<Stored>,
    show: (stored: Stored) => Item,
    keyOf: (stored: Stored) => string | number,
  ): ListPage<Item> {
    const { items, next } = pageOf(page, show, keyOf);
    return { items, next: next === undefined ? undefined : this.next(query, next as string | number) };
  }
}

export type SortedQuery = PageQuery & { readonly sort?: string };

/** Of a list in order of name. */
export const sortedByName = new Sorting({ name: 'string' });
/** Of a list whose ids are given in the order of creation. */
export const sortedByCreation = new Sorting({ createdAt: 'number' });

function readKeys(cursor: string): readonly (string | number)[] {
  const keys = decode(cursor);
  if (Array.isArray(keys) && keys.every(isKey)) return keys;
  throw wrongCursor();
}

function isKey(key: unknown): key is string | number {
  return typeof key === 'string' || Number.isSafeInteger(key);
}

function readCursor(cursor: string, kind: 'string'): string;
function readCursor(cursor: string, kind: 'number'): number;
function readCursor(cursor: string, kind: 'string' | 'number'): string | number {
  const key = decode(cursor);
  if (isKey(key) && typeof key === kind) return key;
  throw wrongCursor();
}

/** What a cursor was made of. Throws the invalid Problem for a text that no list gave out. */
function decode(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw wrongCursor();
  }
}

/** For a cursor that another list gave out, or none. */
export function wrongCursor(): Problem {
  const detail = 'this is no cursor of this list: use the next of its page before, as it is';
  return new Problem('invalid', detail, { errors: [{ pointer: '/query/cursor', detail }] });
}
