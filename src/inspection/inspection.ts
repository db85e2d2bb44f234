// Looking into images: put together once for whoever asks.
import type { Registry } from '../registry/registry.ts';
import { ArchivePlanner } from './archive.ts';
import { ImageFiles } from './image-files.ts';
import { Layers } from './layers.ts';
import { ManifestReader } from './manifests.ts';
import { ReferrerReader } from './referrers.ts';

export interface InspectionSettings {
  /** The largest file that is read out of a layer, in bytes. */
  readonly archiveFileLimit: number;
  /** Decompressed bytes of a layer for each compressed one. */
  readonly archiveRatioLimit: number;
}

export interface Inspection {
  readonly manifests: ManifestReader;
  readonly referrers: ReferrerReader;
  readonly files: ImageFiles;
  readonly archives: ArchivePlanner;
}

/** Less than a proxy waits for an answer by default. */
const longestReadingSeconds = 50;

export function createInspection(registry: Registry, settings: InspectionSettings): Inspection {
  const { metadata, blobs } = registry;
  const limits = { ratio: settings.archiveRatioLimit, seconds: longestReadingSeconds };
  const layers = new Layers({ blobs, limits });
  return {
    manifests: new ManifestReader({ manifests: metadata.manifests, blobs, blobIndex: metadata.blobs }),
    referrers: new ReferrerReader(metadata.manifests),
    files: new ImageFiles(layers, settings.archiveFileLimit),
    archives: new ArchivePlanner(metadata.manifests, blobs),
  };
}
