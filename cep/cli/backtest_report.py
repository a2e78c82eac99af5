"""What `cep backtest` prints for people: a table by rule, then what is different, line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cep.backtest.result import Result
from cep.cli.output import plain
from cep.values import duration_text, iso_time

_BARS = "▁▂▃▄▅▆▇█"
_BARS_MAX = 80
_ALONE = (("found", "found"), ("suppressed", "suppressed"), ("alerts", "alerts"))
_COMPARED = (
    ("found", "found"),
    ("before", "baseline_found"),
    ("added", "added"),
    ("lost", "lost"),
    ("changed", "changed"),
    ("alerts", "alerts"),
    ("before", "baseline_alerts"),
)
_STYLES = {"added": "green", "lost": "red", "changed": "yellow"}


def report(result: Result) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(_head(result), markup=False)
    console.print(_table(result))
    for line in _forecast(result):
        console.print(line, markup=False)
    if result.compared:
        _list(console, "added", result.tally.totals["added"], result.added)
        _list(console, "lost", result.tally.totals["lost"], result.lost)
        _list_changed(console, result)
    else:
        _list(console, "found", result.tally.totals["found"], result.found)
    for note in result.notes:
        console.print(f"note: {note}", markup=False)


def _head(result: Result) -> str:
    counters = result.counters
    said = [f"{result.records:,} records", f"{counters['processed']:,} events matched"]
    said += [
        f"{counters[name]:,} {words}"
        for name, words in (
            ("late", "late"),
            ("dead_lettered", "dead letters"),
            ("quarantined", "quarantined"),
        )
        if counters[name]
    ]
    if result.first_ms is not None and result.last_ms is not None:
        said.append(f"from {iso_time(result.first_ms)} to {iso_time(result.last_ms)}")
    return ", ".join(said)


def _table(result: Result) -> Table:
    columns = _COMPARED if result.compared else _ALONE
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("rule")
    for title, _ in columns:
        table.add_column(title, justify="right", style=_STYLES.get(title))
    rows = dict(result.tally.by_rule)
    if len(rows) > 1:
        rows["all"] = result.tally.totals
    for rule, counts in rows.items():
        table.add_row(rule, *(_number(counts, name) for _, name in columns))
    return table


def _number(counts: Counter[str], name: str) -> str:
    return f"{counts[name]:,}" if counts[name] else "·"


def _forecast(result: Result) -> Iterator[str]:
    now, before = result.per_day("alerts"), result.per_day("baseline_alerts")
    if now is not None:
        was = f", {before:,.1f} before" if result.compared and before is not None else ""
        yield f"alerts a day: {now:,.1f}{was}"
    bars = _bars(result)
    if bars:
        yield f"found over time: {bars}  (each {duration_text(result.tally.buckets.width_ms)})"


def _bars(result: Result) -> str:
    """The last part of the range, where it is long."""
    buckets = result.tally.buckets
    counts = {at_ms // buckets.width_ms: each["found"] for at_ms, each in buckets}
    if not counts or max(counts.values()) == 0:
        return ""
    last = max(counts)
    first = max(min(counts), last - _BARS_MAX + 1)
    most = max(counts.values())
    heights = [counts.get(number, 0) for number in range(first, last + 1)]
    return "".join(_BARS[min(7, n * 8 // (most + 1))] if n else " " for n in heights)


def _list(console: Console, title: str, count: int, shown: Sequence[bytes]) -> None:
    if not count:
        return
    console.print(_title(title, count, len(shown)))
    for one in map(orjson.loads, shown):
        console.print(f"  {_line(one)}", markup=False)


def _list_changed(console: Console, result: Result) -> None:
    count = result.tally.totals["changed"]
    if not count:
        return
    console.print(_title("changed", count, len(result.changed)))
    for now, was in result.changed:
        console.print(f"  {_line(orjson.loads(now))}", markup=False)
        console.print(f"    was: {_said(orjson.loads(was))}", markup=False)


def _title(title: str, count: int, shown: int) -> Text:
    more = f", the first {shown:,}" if shown < count else ""
    return Text(f"{title}: {count:,}{more}", style=_STYLES.get(title, "bold"))


def _line(one: dict[str, str]) -> str:
    return f"{one['at']}  {one['rule']}: {_said(one)}"


def _said(one: dict[str, str]) -> str:
    hidden = "  (suppressed)" if one["suppressed"] else ""
    return f"{one['severity'].upper()}  {plain(' '.join(one['message'].split()))}{hidden}"
