"""The caption workspace: an SQLite file with images, their captions, and where the captions come from."""

from hfbucket.io.workspace.reader import Workspace

__all__ = ["Workspace"]
