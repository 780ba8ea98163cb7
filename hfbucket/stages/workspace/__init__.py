"""The caption workspace: made from sources or an export, filled from files, asked for what is still to do."""
