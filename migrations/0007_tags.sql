-- Tags as people list them: what each order needs stands in an index, so that a page costs the same of 100 tags and of 100,000.

-- What a manifest is to lists, apart from its bytes. Every manifest has a row; the triggers below make it and count its tags.
CREATE TABLE manifest_summary (
  manifest_id INTEGER PRIMARY KEY REFERENCES manifest ON DELETE CASCADE,
  repository_id INTEGER NOT NULL REFERENCES repository,
  kind TEXT NOT NULL CHECK (kind IN ('image', 'index', 'artifact')),
  size INTEGER NOT NULL,                    -- config and layers; of an index the blobs of what it lists, each once
  platforms TEXT,                           -- JSON array: ["linux/amd64"]; NULL: nobody has looked yet (registry/platforms.ts)
  signs TEXT,                               -- the digest that this manifest is a signature of
  tags INTEGER NOT NULL DEFAULT 0,
  pulled_at INTEGER NOT NULL DEFAULT 0      -- 0: never
) STRICT;
CREATE INDEX manifest_summary_of ON manifest_summary (repository_id, manifest_id);
CREATE INDEX manifest_summary_untagged ON manifest_summary (repository_id, manifest_id) WHERE tags = 0;
CREATE INDEX manifest_summary_by_size ON manifest_summary (repository_id, size, manifest_id) WHERE tags > 0;
CREATE INDEX manifest_summary_by_pull ON manifest_summary (repository_id, pulled_at, manifest_id) WHERE tags > 0;
CREATE INDEX manifest_summary_signs ON manifest_summary (repository_id, signs) WHERE signs IS NOT NULL;
CREATE INDEX manifest_summary_unread ON manifest_summary (manifest_id) WHERE platforms IS NULL;

INSERT INTO manifest_summary (manifest_id, repository_id, kind, size, tags, pulled_at)
  SELECT m.id, m.repository_id,
    CASE
      WHEN m.media_type IN ('application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json') THEN 'index'
      WHEN m.media_type = 'application/vnd.oci.artifact.manifest.v1+json' THEN 'artifact'
      ELSE 'image' END,
    CASE
      WHEN m.media_type IN ('application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json')
      THEN (WITH RECURSIVE below (id) AS (SELECT m.id UNION SELECT c.child_id FROM below JOIN manifest_child c ON c.parent_id = below.id)
        SELECT coalesce(sum(b.size), 0) FROM blob b
        WHERE b.id IN (SELECT e.blob_id FROM below JOIN manifest_blob e ON e.manifest_id = below.id))
      ELSE m.image_bytes END,
    (SELECT count(*) FROM tag t WHERE t.manifest_id = m.id),
    coalesce((SELECT p.last_at FROM pull_count p WHERE p.manifest_id = m.id), 0)
  FROM manifest m;

CREATE TRIGGER manifest_summarized AFTER INSERT ON manifest BEGIN
  INSERT INTO manifest_summary (manifest_id, repository_id, kind, size) VALUES (NEW.id, NEW.repository_id,
    CASE
      WHEN NEW.media_type IN ('application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json') THEN 'index'
      WHEN NEW.media_type = 'application/vnd.oci.artifact.manifest.v1+json' THEN 'artifact'
      ELSE 'image' END, NEW.image_bytes);
END;
CREATE TRIGGER tag_set AFTER INSERT ON tag BEGIN
  UPDATE manifest_summary SET tags = tags + 1 WHERE manifest_id = NEW.manifest_id;
END;
CREATE TRIGGER tag_moved AFTER UPDATE OF manifest_id ON tag WHEN NEW.manifest_id <> OLD.manifest_id BEGIN
  UPDATE manifest_summary SET tags = tags - 1 WHERE manifest_id = OLD.manifest_id;
  UPDATE manifest_summary SET tags = tags + 1 WHERE manifest_id = NEW.manifest_id;
END;
CREATE TRIGGER tag_removed AFTER DELETE ON tag BEGIN
  UPDATE manifest_summary SET tags = tags - 1 WHERE manifest_id = OLD.manifest_id;
END;
CREATE TRIGGER pulls_begun AFTER INSERT ON pull_count BEGIN
  UPDATE manifest_summary SET pulled_at = max(pulled_at, NEW.last_at) WHERE manifest_id = NEW.manifest_id;
END;
CREATE TRIGGER pulls_counted AFTER UPDATE OF last_at ON pull_count BEGIN
  UPDATE manifest_summary SET pulled_at = max(pulled_at, NEW.last_at) WHERE manifest_id = NEW.manifest_id;
END;

-- ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

ALTER TABLE tag ADD COLUMN updated_by TEXT NOT NULL DEFAULT '';
-- Text that sorts as versions do (sqlite/version-key.ts); '' for a tag that is no version.
ALTER TABLE tag ADD COLUMN version TEXT NOT NULL DEFAULT '';
-- {"message", "replacement"?}; NULL: none.
ALTER TABLE tag ADD COLUMN deprecation TEXT;
ALTER TABLE repository ADD COLUMN deprecation TEXT;
UPDATE tag SET version = version_key(name), updated_by = coalesce(
  (SELECT h.actor FROM tag_history h WHERE h.repository_id = tag.repository_id AND h.name = tag.name AND h.digest IS NOT NULL
    ORDER BY h.id DESC LIMIT 1),
  (SELECT m.pushed_by FROM manifest m WHERE m.id = tag.manifest_id), '');
CREATE INDEX tag_by_time ON tag (repository_id, updated_at, name);
CREATE INDEX tag_by_version ON tag (repository_id, version, name);

-- Tags that were removed, newest first, in all and in one repository.
CREATE INDEX tag_history_removed ON tag_history (id) WHERE digest IS NULL;
CREATE INDEX tag_history_removed_in ON tag_history (repository_id, id) WHERE digest IS NULL;

-- ── what was deleted ─────────────────────────────────────────────────────────────────────────────────────────────────

-- All that a manifest needs to be as it was. `missing` is JSON: [["sha256:…", "blob"], …].
ALTER TABLE trash ADD COLUMN artifact_type TEXT;
ALTER TABLE trash ADD COLUMN image_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trash ADD COLUMN missing TEXT NOT NULL DEFAULT '[]';
ALTER TABLE trash ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trash ADD COLUMN platforms TEXT;
ALTER TABLE trash ADD COLUMN signs TEXT;
ALTER TABLE trash ADD COLUMN pulls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trash ADD COLUMN pulled_at INTEGER NOT NULL DEFAULT 0;
UPDATE trash SET
  image_bytes = (SELECT coalesce(sum(b.size), 0) FROM trash_blob e JOIN blob b ON b.id = e.blob_id WHERE e.trash_id = trash.id),
  artifact_type = CASE json_valid(CAST(bytes AS TEXT)) WHEN 1 THEN
    coalesce(nullif(CAST(bytes AS TEXT) ->> '$.artifactType', ''), nullif(CAST(bytes AS TEXT) ->> '$.config.mediaType', '')) END;
UPDATE trash SET size = image_bytes;
CREATE INDEX trash_newest_in ON trash (repository_id, id);
