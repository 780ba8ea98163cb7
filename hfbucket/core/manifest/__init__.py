"""The model of manifest.json, and its plain data."""
