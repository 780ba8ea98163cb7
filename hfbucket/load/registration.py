"""Makes `datasets.load_dataset("bucketed_shards", …)` work once hfbucket is imported, before or after datasets.

`datasets` has no way to add a builder but the dict of its packaged modules, which is private. Nothing else rests on
it: where it has changed, a warning says so and `hfbucket.load_dataset` does the same.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Final

from hfbucket import __version__

NAME: Final = "bucketed_shards"
BUILDER: Final = "hfbucket.builders.bucketed_shards"
BUILDER_HASH: Final = f"hfbucket-{__version__}"
"""Names a folder of the cache, so that another release makes its own."""

_MODULE: Final = "datasets.packaged_modules"
_REGISTRY: Final = "_PACKAGED_DATASETS_MODULES"


def register() -> None:
    """Make the builder known to `datasets`: now if it is imported already, else as soon as it is."""
    module = sys.modules.get(_MODULE)
    if module is not None:
        _add_to(module)
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())


def _add_to(module: ModuleType) -> None:
    registry = getattr(module, _REGISTRY, None)
    if not isinstance(registry, dict) or not all(isinstance(value, tuple) for value in registry.values()):
        warnings.warn(
            f'this release of datasets cannot be told of builders, so load_dataset("{NAME}", …) does not work; '
            "use hfbucket.load_dataset(…), which does the same",
            RuntimeWarning,
            stacklevel=2,
        )
        return
    registry[NAME] = (BUILDER, BUILDER_HASH)
    importlib.import_module("hfbucket.load.features")  # so that saved datasets find our image type


class _WhenImported:
    """Waits for one module, lets the others find it, and adds the builder once it has run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def run_and_add(module: ModuleType) -> None:
            run(module)
            _add_to(module)

        spec.loader.exec_module = run_and_add  # type: ignore[method-assign]
        return spec
