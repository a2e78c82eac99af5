"""The plain-text conformance files pass with the runner that users have."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cep.cli.app import app

FILES = sorted(Path(__file__).parent.glob("*.cep"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_conformance_file_passes(path: Path) -> None:
    result = CliRunner().invoke(app, ["test", str(path)])
    assert result.exit_code == 0, result.output


def test_case_number_one_is_one_event_one_step() -> None:
    assert FILES[0].stem == "01-one-event-one-step"
