-- People name what was deleted by its number, and may do so later: tag-34 is a row of tag_history, repository-5 one of repository. SQLite
-- gives the number of a last row that went to the next one, so the highest that went is noted, and the next row is given one above it
-- (sqlite/next-number.ts).
CREATE TRIGGER tag_history_number AFTER DELETE ON tag_history
  WHEN OLD.id > coalesce((SELECT max(id) FROM tag_history), 0) BEGIN
  INSERT INTO instance (key, value) VALUES ('last_tag_history_id', OLD.id)
    ON CONFLICT (key) DO UPDATE SET value = max(CAST(value AS INTEGER), OLD.id);
END;
CREATE TRIGGER repository_number AFTER DELETE ON repository
  WHEN OLD.id > coalesce((SELECT max(id) FROM repository), 0) BEGIN
  INSERT INTO instance (key, value) VALUES ('last_repository_id', OLD.id)
    ON CONFLICT (key) DO UPDATE SET value = max(CAST(value AS INTEGER), OLD.id);
END;
