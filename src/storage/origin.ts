// What all contracts of the metadata store have in common: who did something, and pages of lists.

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
