"""Print the modules and functions that break the size budget of CONTRIBUTING.md; exit 1 if there are any.

A module has at most 300 lines, a function at most 60 (docstring included), nine functions of ten at most 30.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

MODULE_LINES = 300
FUNCTION_LINES = 60
FUNCTION_LINES_P90 = 30
ROOTS = ("hfbucket", "builders", "scripts")


def functions(module: Path) -> list[tuple[int, str]]:
    """Return length in lines and place of every function and method of a module."""
    return [
        ((node.end_lineno or node.lineno) - node.lineno + 1, f"{module}:{node.lineno} {node.name}")
        for node in ast.walk(ast.parse(module.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def problems(modules: list[Path]) -> list[str]:
    """Return one line for everything over the budget."""
    lines = {module: len(module.read_bytes().splitlines()) for module in modules}
    sizes = sorted(size for module in modules for size in functions(module))
    found = [f"{module}: {n} lines, at most {MODULE_LINES}" for module, n in lines.items() if n > MODULE_LINES]
    found += [f"{place}: {n} lines, at most {FUNCTION_LINES}" for n, place in sizes if n > FUNCTION_LINES]
    p90 = sizes[len(sizes) * 9 // 10][0] if sizes else 0
    if p90 > FUNCTION_LINES_P90:
        found.append(f"one function of ten has {p90} lines or more, at most {FUNCTION_LINES_P90}")
    median = sizes[len(sizes) // 2][0] if sizes else 0
    print(f"{len(lines)} modules, largest {max(lines.values(), default=0)} lines; {len(sizes)} functions, "
          f"median {median}, p90 {p90}, largest {sizes[-1][0] if sizes else 0} lines")  # fmt: skip
    return found


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    over = problems(sorted(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
                           for name in ROOTS for path in (root / name).rglob("*.py")))  # fmt: skip
    print(*over, sep="\n", end="\n" if over else "")
    sys.exit(1 if over else 0)
