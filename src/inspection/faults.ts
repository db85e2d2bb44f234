// Why something cannot be looked into, in words that a person can act on.

export type FaultKind =
  /** Not there, or deleted. */
  | 'absent'
  /** Not an archive, damaged, encrypted. */
  | 'unreadable'
  /** Beyond a limit. */
  | 'too-large'
  /** Asked for in a way that cannot be. */
  | 'wrong'
  /** Too many look at the same time. */
  | 'busy';

export class InspectionFault extends Error {
  override readonly name = 'InspectionFault';
  readonly kind: FaultKind;
  constructor(kind: FaultKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
