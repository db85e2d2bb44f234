// What the management API answers about images, as far as commands print it.

export interface Finding {
  readonly detail: string;
  readonly digest: string | null;
}

export interface Image {
  readonly architecture: string | null;
  readonly os: string | null;
  readonly variant: string | null;
  readonly created: string | null;
  readonly author: string | null;
  readonly user: string | null;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[] | null;
  readonly cmd: readonly string[] | null;
  readonly workingDir: string | null;
  readonly exposedPorts: readonly string[];
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal: string | null;
  readonly healthcheck: { readonly test: readonly string[] } | null;
}

export interface Layer {
  readonly digest: string | null;
  readonly mediaType: string | null;
  readonly size: number | null;
  readonly title: string | null;
  readonly foreign: boolean;
  readonly emptyLayer: boolean;
  readonly instruction: string | null;
}

export interface Platform {
  readonly digest: string;
  readonly size: number;
  readonly imageSize: number | null;
  readonly platform: string | null;
  readonly kind: string;
  readonly present: boolean;
  readonly attests: string | null;
}

export interface Manifest {
  readonly repository: string;
  readonly reference: string;
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
  readonly kind: string;
  readonly artifactType: string | null;
  readonly imageSize: number | null;
  readonly index: string | null;
  readonly annotations: Readonly<Record<string, string>>;
  readonly subject: { readonly digest: string } | null;
  readonly config: { readonly content: Readonly<Record<string, unknown>> | null } | null;
  readonly image: Image | null;
  readonly layers: readonly Layer[];
  readonly platforms: readonly Platform[];
  readonly findings: readonly Finding[];
}

export interface Referrer {
  readonly digest: string;
  readonly kind: string;
  readonly format: string | null;
  readonly artifactType: string | null;
  readonly predicateTypes: readonly string[];
  readonly size: number;
  readonly tag: string | null;
  readonly present: boolean;
  readonly referrers: readonly Referrer[];
}

export interface Referrers {
  readonly digest: string;
  readonly referrers: readonly Referrer[];
  readonly complete: boolean;
}

export interface FileItem {
  readonly path: string;
  readonly type: string;
  readonly size: number;
  readonly mode: string | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly modifiedAt: string | null;
  readonly linkTarget: string | null;
  readonly layer: string | null;
  readonly note: string | null;
}
