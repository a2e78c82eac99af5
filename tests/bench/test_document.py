"""Tables and plots of docs/benchmarks.md follow from what was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import document, svg

ROOT = Path(__file__).parents[2]
WORKLOAD = {
    "events": 2_000_000,
    "matcher_on_columns": {"events_per_second": 32_600_000, "detections": 481},
    "ndjson_to_detections": {
        "events_per_second": 3_650_000,
        "ratio_to_bare_decoder": 0.94,
        "memory_peak_bytes": 292 << 20,
    },
}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "benchmarks.md").write_text(f"before\n{document.BEGIN}\n{document.END}\nafter\n")
    return tmp_path


def test_record_keeps_what_was_not_measured_again(docs: Path) -> None:
    document.write({"workloads": {"P1": WORKLOAD}, "check": {"events": 1}}, docs)
    document.write({"workloads": {"A1": WORKLOAD, "A1x100": WORKLOAD}}, docs)
    record = json.loads((docs / "benchmarks.json").read_text())
    assert list(record["workloads"]) == ["P1", "A1", "A1x100"]
    assert record["check"] == {"events": 1}


def test_page_has_tables_and_plots_between_its_markers(docs: Path) -> None:
    document.write({"workloads": {"P1": WORKLOAD, "A1": WORKLOAD}}, docs)
    page = (docs / "benchmarks.md").read_text()
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "| P1 | 2,000,000 | 481 | 32.6 M | 20 M | 330 k | 3.65 M | 94% | 292 MiB |" in page
    for name in ("throughput.svg", "window.svg"):
        assert f"(plots/{name})" in page
        ElementTree.parse(docs / "plots" / name)
    document.write({}, docs)
    assert (docs / "benchmarks.md").read_text() == page


def test_page_of_the_project_is_what_its_record_gives(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert document.replaced(text, document.figures(document.record_of(), tmp_path)) == text
    for plot in (tmp_path / "plots").iterdir():
        assert plot.read_text() == (ROOT / "docs" / "plots" / plot.name).read_text()


def test_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        document.replaced("a page", "figures")


@pytest.mark.parametrize("logarithmic", [True, False])
def test_bars_stay_inside_of_the_picture(logarithmic: bool) -> None:
    rows = [svg.Row("a & b", (47.4e6, None), 20e6), svg.Row("c", (106.0, 5e4))]
    drawn = ElementTree.fromstring(svg.bars("<title>", ("x", "y"), rows, logarithmic=logarithmic))
    for bar in (each for each in drawn.iter() if each.tag.endswith("rect")):
        assert float(bar.attrib["x"]) >= 0
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= svg.WIDTH


@pytest.mark.parametrize(
    ("value", "text"), [(106, "106"), (999.6, "1 k"), (89_700, "89.7 k"), (1.4e6, "1.4 M")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert svg.short(value) == text
