"""The caption workspace, the pure part of it."""
