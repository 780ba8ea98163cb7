"""Verifying an export: structure, shards, tables and card."""
