"""Cores that are ours: a container's limits count, however it tells of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hfbucket.executors.cores import usable_cores

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def group(mount: Path, folder: str, **files: str) -> None:
    (mount / folder).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (mount / folder / name.replace("__", ".")).write_text(text)


def cores(tmp_path: Path, lines: str) -> int:
    (tmp_path / "cgroup").write_text(lines)
    return usable_cores(tmp_path / "cgroup", tmp_path / "mount")


@pytest.mark.parametrize(
    ("limit", "expected"), [("max 100000", ALL), ("100000 100000", 1), ("20000 100000", 1), ("9900000 100000", ALL)]
)
def test_a_quota_counts_where_it_is_less(limit: str, expected: int, tmp_path: Path) -> None:
    group(tmp_path / "mount", "kubepods/pod", cpu__max=f"{limit}\n")
    assert cores(tmp_path, "0::/kubepods/pod\n") == expected


def test_part_of_a_core_keeps_one_more_busy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    group(tmp_path / "mount", "a/b", cpu__max="max 100000")
    group(tmp_path / "mount", "a", cpu__max="250000 100000")
    group(tmp_path / "mount", "", cpu__max="6400000 100000")
    assert cores(tmp_path, "0::/a/b\n") == 3  # of the group above, the least of them


@pytest.mark.parametrize("quota", ["-1", "100000"])
def test_version_1(quota: str, tmp_path: Path) -> None:
    for folder in ("cpu,cpuacct", "memory"):  # the container's path is the host's, its folder the top one
        group(tmp_path / "mount", folder, cpu__cfs_quota_us=f"{quota}\n", cpu__cfs_period_us="100000\n")
    lines = "4:memory:/docker/0123\n3:cpu,cpuacct:/docker/0123\n1:name=systemd:/docker/0123\n"
    assert cores(tmp_path, lines) == (1 if quota == "100000" else ALL)


def test_without_groups_all_cores_are_ours(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "none", tmp_path) == ALL
    assert cores(tmp_path, "") == ALL
    assert cores(tmp_path, "0::/gone\n") == ALL
