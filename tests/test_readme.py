"""The README: what it shows works, and what must be on it is."""

from __future__ import annotations

from pathlib import Path

import fenced

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PROMISE = (
    "exactly one durable detection per match, whatever crashes; deliveries at least once with a "
    "stable id and identical bytes, so a receiver that remembers ids sees each once."
)


def test_what_the_readme_shows_works(tmp_path: Path) -> None:
    fenced.run_page(README, tmp_path)


def test_readme_names_the_two_commands_and_the_promise() -> None:
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert "make demo" in text
    assert "make test" in text
    assert PROMISE in text
