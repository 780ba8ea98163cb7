"""From index rows to what becomes of each: order, packing, and the figures of the report."""
