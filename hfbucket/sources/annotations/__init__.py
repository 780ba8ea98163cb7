"""Annotation files: one file with captions and metadata of many images, beside tars, folders or Parquet files."""
