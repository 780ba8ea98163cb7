"""Pushing an export to a repository, a Storage Bucket or a folder."""
