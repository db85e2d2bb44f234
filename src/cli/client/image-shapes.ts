// What the management API answers about images: the descriptions of src/inspection as they are, with where they were asked for.
import type { ManifestDescription } from '../../inspection/manifests.ts';
import type { ReferrerTree } from '../../inspection/referrers.ts';

export type { ImageDescription as Image, LayerDescription as Layer } from '../../inspection/image-config.ts';
export type { ShownFile as FileItem } from '../../inspection/image-files.ts';
export type { PlatformDescription as Platform } from '../../inspection/manifests.ts';
export type { ReferrerNode as Referrer } from '../../inspection/referrers.ts';

export interface Manifest extends ManifestDescription {
  readonly repository: string;
  readonly reference: string;
}

export interface Referrers extends ReferrerTree {
  readonly digest: string;
}
