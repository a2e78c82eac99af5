"""What each checking pass says: `passes/<name>.cep` gives exactly the text `passes/<name>.txt`.

After a change that is meant, `CEP_WRITE_EXPECTED=1 pytest tests/dsl/test_passes.py` writes the
texts anew, for review in the diff.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dsl import Source, load_sources
from dsl.diagnostics import CODES

FOLDER = Path(__file__).parent / "passes"
FIXTURES = sorted(FOLDER.glob("*.cep"))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_pass_reports_exactly_the_expected_diagnostics(path: Path) -> None:
    loaded = load_sources([Source(path.name, path.read_text(encoding="utf-8"))])
    found = loaded.render() + "\n"
    expected = path.with_suffix(".txt")
    if os.environ.get("CEP_WRITE_EXPECTED"):
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")
    assert loaded.rules is None or all(d.severity == "warning" for d in loaded.diagnostics)


def test_every_reported_code_is_in_the_catalogue() -> None:
    seen: set[str] = set()
    for path in FIXTURES:
        seen.update(re.findall(r"(?:error|warning)\[(\w+)\]", path.with_suffix(".txt").read_text()))
    assert seen <= set(CODES)


def test_declarations_called_fine_are_not_reported() -> None:
    for path in FIXTURES:
        report = path.with_suffix(".txt").read_text(encoding="utf-8")
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("rule") and '"fine' in line:
                assert line not in report, line


def test_every_code_of_the_catalogue_is_used() -> None:
    package = Path(__file__).parents[2] / "dsl"
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in package.rglob("*.py")
        if path.name != "diagnostics.py"
    )
    assert [code for code in CODES if f'"{code}"' not in source] == []
