"""Imports point one way, api → alerts → cep → matcher → dsl, and light modules stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("dsl", "matcher", "cep", "alerts", "api")  # each may import itself and those before it
COMPOSITION_ROOTS = ("cep/cli", "cep/demo")
HEAVY = {
    *("numba", "numpy", "sqlalchemy", "alembic", "pyarrow", "fastapi", "uvicorn"),
    *("msgspec", "orjson"),
}


def modules(package: str) -> Iterator[Path]:
    return (ROOT / package).rglob("*.py")


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """(top-level package, line) of every import anywhere in a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno


@pytest.mark.parametrize("package", LAYERS)
def test_imports_point_one_way(package: str) -> None:
    above = set(LAYERS[LAYERS.index(package) + 1 :])
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        if not path.relative_to(ROOT).as_posix().startswith(COMPOSITION_ROOTS)
        for name, line in imported(path)
        if name in above
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "code",
    [
        "import cep, dsl, cep.cli",
        "import sys; sys.argv = ['cep', '--help']; import cep.cli.app",
        "import cep.load; cep.load.load(['rules'])",
    ],
)
def test_light_modules_load_nothing_heavy(code: str) -> None:
    program = f"{code}\nimport sys\nprint(*sorted(set(sys.modules) & set({sorted(HEAVY)!r})))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []
