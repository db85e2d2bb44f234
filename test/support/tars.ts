// Tar archives made by hand, with whatever a header can hold: what layers have, and what they should not.
import { gzipSync } from 'node:zlib';

export interface Member {
  readonly name: string;
  /** '0' file (default), '1' hard link, '2' symbolic link, '5' folder … */
  readonly type?: string;
  readonly content?: Buffer | string;
  readonly link?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly modifiedAt?: number;
  /** Records of a pax header in front. */
  readonly pax?: Readonly<Record<string, string>>;
  /** GNU's headers for a long name and a long link in front. */
  readonly gnuName?: string;
  readonly gnuLink?: string;
  /** What the header says, where that is not the length of the content. */
  readonly size?: number;
}

/** An archive of these members, ended as archives are unless `end` is false. */
export function makeTar(members: readonly Member[], end = true): Buffer {
  return Buffer.concat([...members.map(memberBytes), ...(end ? [Buffer.alloc(1024)] : [])]);
}

/** One frame of zstd that asks for a window of 2 to this power, its content (up to 128 KiB) as it is. */
export function makeZstd(content: Buffer, windowLog: number): Buffer {
  const block = Buffer.alloc(3);
  block.writeUIntLE((content.length << 3) | 1, 0, 3);
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3]), block, content]);
}

export function makeGzip(members: readonly Member[]): Buffer {
  return gzipSync(makeTar(members));
}

function memberBytes(member: Member): Buffer {
  const content = Buffer.from(member.content ?? '');
  const parts: Buffer[] = [];
  if (member.gnuName !== undefined)
    parts.push(block('././@LongLink', 'L', Buffer.from(`${member.gnuName}\0`)));
  if (member.gnuLink !== undefined)
    parts.push(block('././@LongLink', 'K', Buffer.from(`${member.gnuLink}\0`)));
  if (member.pax !== undefined) {
    const records = Object.entries(member.pax).map(([key, value]) => paxRecord(key, value));
    parts.push(block('pax', 'x', Buffer.concat(records)));
  }
  parts.push(block(member.name, member.type ?? '0', content, member));
  return Buffer.concat(parts);
}

function block(name: string, type: string, content: Buffer, member: Partial<Member> = {}): Buffer {
  const header = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at);
  header.write(name, 0, 100);
  octal(member.mode ?? (type === '5' ? 0o755 : 0o644), 100, 8);
  octal(member.uid ?? 0, 108, 8);
  octal(member.gid ?? 0, 116, 8);
  octal(member.size ?? content.length, 124, 12);
  octal(member.modifiedAt ?? 1_700_000_000, 136, 12);
  header.write(`        ${type}`, 148);
  header.write(member.link ?? '', 157, 100);
  header.write('ustar\x0000', 257, 'latin1');
  sealHeader(header);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

/** Writes the checksum of a header that was changed. */
export function sealHeader(header: Buffer): void {
  header.fill(0x20, 148, 156);
  const sum = header.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
}

function paxRecord(key: string, value: string): Buffer {
  const body = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(body);
  let length = bytes + 1;
  while (String(length).length + bytes !== length) length = String(length).length + bytes;
  return Buffer.from(`${length}${body}`);
}
