"""The companion repository of an export's sample tables: its card."""

from __future__ import annotations

from typing import Any

from hfbucket.core.card.facts import front_matter, images_exported
from hfbucket.core.card.markdown import inline, line
from hfbucket.core.manifest.model import Manifest

__all__ = ["samples_front_matter", "samples_text"]

_KEPT = ("license", "license_name", "license_link", "language", "size_categories", "source_datasets")


def samples_front_matter(manifest: Manifest) -> dict[str, Any]:
    """Return the metadata of the companion's card: one config, the Parquet files."""
    whole = front_matter(manifest)
    title = line(manifest.title or "")
    return {
        **({"pretty_name": f"{title}: sample tables"} if title else {}),
        **{name: whole[name] for name in _KEPT if name in whole},
        "tags": ["hfbucket"],
        "configs": [{"config_name": "samples", "data_files": [{"split": "train", "path": "samples/*.parquet"}]}],
    }


def samples_text(manifest: Manifest, repo_id: str) -> str:
    """Return the text of the companion's card; `repo_id` is that of the export itself."""
    title = inline(manifest.title or repo_id)
    return (
        f"# {title}: sample tables\n\n"
        f"One row for each of the {images_exported(manifest):,} images of "
        f"[{repo_id}](https://huggingface.co/datasets/{repo_id}): captions, sizes, crop, and where its bytes lie in "
        f"the shards. The images themselves are there.\n"
    )
