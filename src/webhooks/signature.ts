// How a delivery proves who sent it: an HMAC over its id, the time of the attempt and the body, as the Standard Webhooks
// specification has it. The time is part of it so that a receiver can refuse what somebody recorded and sends again.
import { createHmac, randomBytes } from 'node:crypto';

/** Secrets of this form are what libraries for Standard Webhooks take: the key is the base64 behind it. */
const standardPrefix = 'whsec_';
const standardSecret = /^whsec_([A-Za-z0-9+/]{32,88}={0,2})$/;
const secretBytes = 32;

export function createHookSecret(): string {
  return standardPrefix + randomBytes(secretBytes).toString('base64');
}

export interface Signed {
  /** The same for every attempt. */
  readonly id: string;
  /** Unix seconds of this attempt. */
  readonly timestamp: number;
  readonly body: Buffer;
}

/** The headers that sign a delivery. Those of Standard Webhooks go with a secret of its form. */
export function signatureHeaders(secret: string, { id, timestamp, body }: Signed): Record<string, string> {
  const sign = (key: string | Buffer) => createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body);
  const [, encoded] = standardSecret.exec(secret) ?? [];
  return {
    'x-berth-delivery': id,
    'x-berth-timestamp': String(timestamp),
    'x-berth-signature-256': `sha256=${sign(secret).digest('hex')}`,
    ...(encoded === undefined
      ? {}
      : {
          'webhook-id': id,
          'webhook-timestamp': String(timestamp),
          'webhook-signature': `v1,${sign(Buffer.from(encoded, 'base64')).digest('base64')}`,
        }),
  };
}
