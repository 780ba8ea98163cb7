"""The card of the companion repository that holds an export's sample tables."""

from __future__ import annotations

from huggingface_hub import DatasetCard, DatasetCardData

from hfbucket.core.manifest.model import Manifest
from hfbucket.core.transfer.samples_card import samples_front_matter, samples_text

__all__ = ["render_samples_card"]


def render_samples_card(manifest: Manifest, repo_id: str) -> str:
    """Return its README.md; `repo_id` is the repository of the export itself."""
    metadata = DatasetCardData(**samples_front_matter(manifest)).to_yaml()
    return str(DatasetCard(f"---\n{metadata}\n---\n\n{samples_text(manifest, repo_id)}"))
