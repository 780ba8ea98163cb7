"""Writing an export: tasks, spool, shards, receipts, and the fold that ends in the manifest; `build` is all of it."""
