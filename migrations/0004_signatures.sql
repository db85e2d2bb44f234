-- Simple signatures of manifests, as podman and skopeo put them (the signature extension of OpenShift's registry).

CREATE TABLE signature (
  repository_id INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
  digest TEXT NOT NULL,                     -- of the manifest
  name TEXT NOT NULL,                       -- the part after '@' of the signature's name
  content BLOB NOT NULL,                    -- OpenPGP message, opaque to the registry
  added_at INTEGER NOT NULL,
  added_by TEXT NOT NULL,
  PRIMARY KEY (repository_id, digest, name)
) STRICT;

-- They stay while the manifest is there or can come back, and go with the last of the two.
CREATE TRIGGER trash_signatures_dropped AFTER DELETE ON trash
  WHEN NOT EXISTS (SELECT 1 FROM manifest m WHERE m.repository_id = OLD.repository_id AND m.digest = OLD.digest)
  AND NOT EXISTS (SELECT 1 FROM trash t WHERE t.repository_id = OLD.repository_id AND t.digest = OLD.digest)
BEGIN
  DELETE FROM signature WHERE repository_id = OLD.repository_id AND digest = OLD.digest;
END;
