"""Changing a finished export: everything new is written aside, then a journal, then the files take their places."""
