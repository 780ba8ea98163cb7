"""Export captions from a caption workspace into a file, or as JSON lines."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from hfbucket.core.workspace.brought import STATUSES
from hfbucket.errors import ConfigError, WorkspaceError
from hfbucket.io.workspace.export import export_file, export_lines, variants_of
from hfbucket.stages.rounds import AGAIN, disk_told


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What was written."""

    workspace: str
    file: str
    captions: int


@disk_told(WorkspaceError, AGAIN)
def export(
    workspace: str | os.PathLike[str],
    output: str | BinaryIO,
    *,
    variants: Sequence[str] = (),
    statuses: Sequence[str] = ("ok",),
) -> Exported:
    """Write captions with their image_id and key, sorted by image_id and variant; an import reads them again.

    Args:
        output: a `.jsonl`, `.csv` or `.parquet` file, or an open file for JSON lines.
        variants: only these; without any all, also the source's own.
        statuses: only captions with one of these.

    Raises:
        ConfigError: there is no such variant or status.
        WorkspaceError: the workspace cannot be read, the ending of the file is not known, or the disk is full.
    """
    known = variants_of(workspace)
    if unknown := [name for name in variants if name not in known]:
        raise ConfigError(f"{os.fspath(workspace)}: has no variant {unknown[0]!r}; it has {', '.join(known)}")
    if unknown := [status for status in statuses if status not in STATUSES]:
        raise ConfigError(f"status must be of {', '.join(STATUSES)}, got {unknown[0]!r}")
    values = {"variants": json.dumps(list(variants or known)), "statuses": json.dumps(list(statuses))}
    written = (
        export_file(workspace, output, values) if isinstance(output, str) else export_lines(workspace, output, values)
    )
    name = output if isinstance(output, str) else "-"
    return Exported(workspace=os.fspath(workspace), file=name, captions=written)


__all__ = ["Exported", "export"]
