// Platforms as people write them: os/architecture, with a variant where that matters.

import { type JsonObject, textIn } from './documents.ts';
import { InspectionFault } from './faults.ts';

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

const platformPattern = /^([a-z0-9_.-]{1,64})\/([a-z0-9_.-]{1,64})(?:\/([a-z0-9_.-]{1,64}))?$/i;

/** linux/arm64 or linux/arm/v7. Throws InspectionFault (wrong). */
export function parsePlatform(text: string): Platform {
  const [, os, architecture, variant] = platformPattern.exec(text) ?? [];
  if (os === undefined || architecture === undefined) {
    throw new InspectionFault(
      'wrong',
      'a platform is os/architecture or os/architecture/variant, such as linux/arm64',
    );
  }
  const named = {
    os: os.toLowerCase(),
    architecture: architecture.toLowerCase(),
    variant: variant?.toLowerCase(),
  };
  return { ...named, architecture: otherNames[named.architecture] ?? named.architecture };
}

/** What uname calls them. */
const otherNames: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
  i386: '386',
  i686: '386',
};
/** What is meant where no variant is named. */
const usualVariants: Readonly<Record<string, string>> = { arm64: 'v8', arm: 'v7', amd64: 'v1' };

/** The platform that a descriptor or a config tells; undefined where it tells none. */
export function platformIn(value: JsonObject | undefined): Platform | undefined {
  const os = textIn(value?.os);
  const architecture = textIn(value?.architecture);
  if (os === undefined || architecture === undefined) return undefined;
  return { os, architecture, variant: textIn(value?.variant) };
}

export function platformText({ os, architecture, variant }: Platform): string {
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/** How well a platform is what is wanted: 0 not at all. Without a wanted variant any is taken, the usual one first. */
export function fitOf(offered: Platform, wanted: Platform): 0 | 1 | 2 | 3 {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return 0;
  const usual = usualVariants[wanted.architecture];
  if (wanted.variant === undefined) {
    if (offered.variant === undefined) return 3;
    return offered.variant === usual ? 2 : 1;
  }
  if (offered.variant === wanted.variant) return 3;
  return offered.variant === undefined && wanted.variant === usual ? 2 : 0;
}
