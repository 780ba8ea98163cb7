"""Building an export: tasks, spool, shards, receipts, and the fold that ends in the manifest."""
