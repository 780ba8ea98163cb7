"""The tables of a caption workspace."""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x68666277  # "hfbw"
VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE images (
  image_id TEXT NOT NULL PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  width INTEGER,
  height INTEGER,
  source TEXT,
  kind TEXT NOT NULL CONSTRAINT "kind is file, tar, packed or parquet"
    CHECK (kind IN ('file', 'tar', 'packed', 'parquet')),
  path NOT NULL,
  archive TEXT,
  member TEXT,
  offset INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  source_sha256 TEXT,
  meta TEXT
);
CREATE INDEX images_by_sha256 ON images (source_sha256) WHERE source_sha256 IS NOT NULL;
CREATE TABLE caption_sources (
  id TEXT NOT NULL PRIMARY KEY,
  variant TEXT NOT NULL,
  model TEXT,
  prompt TEXT,
  prompt_sha256 TEXT CONSTRAINT "prompt_sha256 has 64 hex digits"
    CHECK (length(prompt_sha256) = 64 AND NOT prompt_sha256 GLOB '*[^0-9a-f]*'),
  parameters TEXT CONSTRAINT "parameters is JSON" CHECK (parameters IS NULL OR json_valid(parameters))
);
CREATE TABLE captions (
  image_id TEXT NOT NULL REFERENCES images (image_id),
  variant TEXT NOT NULL CONSTRAINT "variant is a name" CHECK (typeof(variant) = 'text' AND variant <> ''),
  status TEXT NOT NULL CONSTRAINT "status is ok, refused, error or empty"
    CHECK (status IN ('ok', 'refused', 'error', 'empty')),
  source_id TEXT REFERENCES caption_sources (id),
  created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
  score REAL,
  language TEXT,
  text TEXT
    CONSTRAINT "text is TEXT" CHECK (typeof(text) IN ('text', 'null'))
    CONSTRAINT "text has at most 100000 bytes"
      CHECK (length(CAST(text AS BLOB)) <= 100000),
  PRIMARY KEY (image_id, variant),
  CONSTRAINT "a caption that is ok has a text" CHECK (status <> 'ok' OR text IS NOT NULL)
) WITHOUT ROWID;
CREATE TABLE variants (
  variant TEXT NOT NULL PRIMARY KEY,
  own INTEGER NOT NULL DEFAULT 0,
  locked INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO variants (variant, own, locked) VALUES ('original', 1, 1);
CREATE TRIGGER captions_insert BEFORE INSERT ON captions
WHEN NOT EXISTS (SELECT 1 FROM variants WHERE variant = NEW.variant AND NOT locked) BEGIN
  SELECT RAISE(ABORT, 'this variant is the source''s own: write captions under another name')
    WHERE EXISTS (SELECT 1 FROM variants WHERE variant = NEW.variant);
  INSERT INTO variants (variant) VALUES (NEW.variant);
END;
CREATE TRIGGER captions_update BEFORE UPDATE ON captions
WHEN NOT EXISTS (SELECT 1 FROM variants WHERE variant = OLD.variant AND NOT locked)
  OR NOT EXISTS (SELECT 1 FROM variants WHERE variant = NEW.variant AND NOT locked) BEGIN
  SELECT RAISE(ABORT, 'this variant is the source''s own: write captions under another name')
    WHERE EXISTS (SELECT 1 FROM variants WHERE variant IN (OLD.variant, NEW.variant) AND locked);
  INSERT INTO variants (variant) SELECT NEW.variant
    WHERE NOT EXISTS (SELECT 1 FROM variants WHERE variant = NEW.variant);
END;
CREATE TRIGGER captions_delete BEFORE DELETE ON captions BEGIN
  SELECT RAISE(ABORT, 'this variant is the source''s own: it stays')
    WHERE EXISTS (SELECT 1 FROM variants WHERE variant = OLD.variant AND locked);
END;
PRAGMA application_id = 1751540343;
PRAGMA user_version = 1;
"""
"""`path` is the file or URL that holds the image (a BLOB where it is no UTF-8), `offset` where in it: a byte in a tar
(`packed`: of what unpacking gives), a row in Parquet, 0 in a file of its own. Rows of `images` stand in source order.

`variants` has every variant; triggers keep it. One that is `locked` is the source's own: it is only written by who
unlocks it within the same transaction. `original` is never anybody else's."""
