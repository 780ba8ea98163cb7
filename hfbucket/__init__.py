"""hfbucket: piles of captioned images to aspect-ratio-bucketed datasets for text-to-image training."""

from __future__ import annotations

__version__ = "0.1.0"
