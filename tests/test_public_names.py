"""`import hfbucket`: its names, and that it costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hfbucket


@pytest.mark.parametrize("name", hfbucket.__all__)
def test_public_names_exist(name: str) -> None:
    assert getattr(hfbucket, name) is not None
    assert name in dir(hfbucket)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="module 'hfbucket' has no attribute 'bild'"):
        hfbucket.bild  # noqa: B018


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, hfbucket\n"
        "heavy = {'numpy', 'pyarrow', 'pandas', 'datasets', 'PIL', 'fsspec', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
