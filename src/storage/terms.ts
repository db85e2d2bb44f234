// Words that the contracts of the stores share.

/** Who did something, from where: it goes into history and event rows. */
export interface Origin {
  readonly actor: string;
  readonly address?: string | undefined;
  readonly userAgent?: string | undefined;
  readonly requestId?: string | undefined;
}

/** A page of a keyset-ordered list. `more` tells that something follows the last item. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly more: boolean;
}

/** A page of a list in bytewise order of name, or backwards. `after` is exclusive. */
export interface NamePage {
  readonly after?: string | undefined;
  readonly descending?: boolean | undefined;
  readonly limit: number;
}

/** A page of a list in order of id, which is the order of creation, or backwards. `after` is exclusive. */
export interface IdPage {
  readonly after?: number | undefined;
  readonly descending?: boolean | undefined;
  readonly limit: number;
}

export const visibilities = ['private', 'internal', 'public'] as const;
export type Visibility = (typeof visibilities)[number];

/** Nothing was written: what it is about is not there, or its name is taken. */
export type NameOutcome = { readonly outcome: 'unknown' } | { readonly outcome: 'exists' };

/** Why a push makes no repository where there is none. */
export interface NoRepository {
  readonly outcome: /** A removed namespace takes no new repository, not even of an administrator. */
    | 'namespace-removed'
    /** The name is kept for a repository that was moved away. */
    | 'name-kept'
    /** The caller did not want one to be made. */
    | 'not-created';
}

/** What may make a repository where there is none. */
export interface Creating {
  /** false: the repository has to be there already. */
  readonly create?: boolean | undefined;
}
