"""Which images are duplicates of an earlier one, from what was taken of their bytes or pixels. Pure and columnar."""
