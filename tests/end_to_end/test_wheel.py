"""The wheel, alone: built, installed in an environment of its own, run in a folder outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from hfbucket import __version__
from scripts.quickstart import make_photos

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build_wheel(folder: Path) -> Path:
    """Return the wheel, built from a copy: a build leaves folders behind that do not belong into a checkout."""
    source = folder / "source"
    built_here = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    for name in ("hfbucket", "builders", "card_templates"):
        shutil.copytree(ROOT / name, source / name, ignore=built_here)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", source, cwd=source)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel alone, which finds its dependencies where this one has them."""
    home = tmp_path_factory.mktemp("env") / "venv"
    venv.create(home, with_pip=False)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    run(sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet", "--no-deps", "--no-index",
        "--disable-pip-version-check", wheel, cwd=home)  # fmt: skip
    installed = Path(run(programs / "python", "-c", "import hfbucket; print(hfbucket.__file__)", cwd=home).strip())
    assert installed.is_relative_to(home)
    # Plain folders: unlike this environment's own start-up files they do not lead to the checkout.
    folders = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (installed.parents[1] / "dependencies.pth").write_text("\n".join(folders))
    return programs


def test_the_wheel_holds_what_is_used_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"hfbucket", f"hfbucket-{__version__}.dist-info"}
    assert "hfbucket/py.typed" in names
    assert "hfbucket/builders/bucketed_shards.py" in names
    assert any(name.startswith("hfbucket/card_templates/") and name.endswith(".jinja") for name in names)
    for module in (ROOT / "hfbucket").rglob("*.py"):
        assert module.relative_to(ROOT).as_posix() in names, "name its package in pyproject.toml, [tool.setuptools]"


def test_a_wheel_can_be_built_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with zipfile.ZipFile(build_wheel(tmp_path)) as archive:
        names = archive.namelist()
    assert "hfbucket/io/images/resize.py" in names
    assert not [name for name in names if name.endswith((".so", ".pyd"))]


def test_every_module_can_be_imported(bin_folder: Path, tmp_path: Path) -> None:
    code = (
        "import importlib, pkgutil, hfbucket\n"
        "for module in pkgutil.walk_packages(hfbucket.__path__, 'hfbucket.'):\n"
        "    importlib.import_module(module.name)\n"
    )
    run(bin_folder / "python", "-c", code, cwd=tmp_path)


def test_the_command_makes_an_export_that_loads(bin_folder: Path, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    hfbucket = bin_folder / "hfbucket"
    assert run(hfbucket, "--version", cwd=tmp_path) == f"hfbucket {__version__}\n"
    bases = ("--base", "512", "--base", "256")
    assert "Base 512" in run(hfbucket, "plan", "photos", *bases, cwd=tmp_path)
    run(hfbucket, "build", "photos", "-o", "export", *bases, "--workers", "2", cwd=tmp_path)
    run(hfbucket, "verify", "export", cwd=tmp_path)
    code = (
        "import hfbucket\n"
        "dataset = hfbucket.load_dataset('export', 'r512', split='train', streaming=True)\n"
        "sample = next(iter(dataset))\n"
        "print(sample['image'].size == (sample['width'], sample['height']))\n"
    )
    assert run(bin_folder / "python", "-c", code, cwd=tmp_path) == "True\n"
