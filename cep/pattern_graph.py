"""The pattern of a rule as a graph to be drawn: what is awaited, and what comes after what.

It is for readers, not for the matcher (`matcher.automaton` has the states): a repeated step is one
node, and what must not happen stands at the edge where it must not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cep.expression_text import expression_text
from cep.values import duration_text
from dsl.model import (
    AnyOrder,
    Arrow,
    Bind,
    Choice,
    Contiguity,
    Link,
    Pattern,
    Repeat,
    Rule,
    Silence,
    WindowKind,
)
from dsl.model import Sequence as InOrder


@dataclass(frozen=True, slots=True)
class Node:
    """`kind` is step, absence, silence, window or match (the end).

    `repeat` says how often, `group` to what nodes drawn together belong; texts are empty where
    there is nothing to say.
    """

    id: int
    kind: str
    name: str = ""
    event: str = ""
    condition: str = ""
    repeat: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """`label` says how far the next event may be, `absent` what must not come between."""

    start: int
    end: int
    label: str = ""
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """`entries` are the nodes a match may begin with; `within` is its whole span, as text."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    entries: tuple[int, ...]
    within: str


class _Part(NamedTuple):
    """What a match enters a part of the pattern by, and leaves it by."""

    entries: tuple[int, ...]
    exits: tuple[int, ...]


def graph_of(rule: Rule) -> Graph:
    drawing = _Drawing(rule)
    part = drawing.window() if rule.window is not None else drawing.part(rule.pattern)
    end = drawing.add("match", name=rule.title or rule.name)
    drawing.lead(part.exits, (end,), "")
    within = "" if rule.within_ms is None else duration_text(rule.within_ms)
    return Graph(tuple(drawing.nodes), tuple(drawing.edges), part.entries, within)


@dataclass
class _Drawing:
    rule: Rule
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    _groups: int = 0

    def add(self, kind: str, **texts: str) -> int:
        self.nodes.append(Node(len(self.nodes), kind, **texts))
        return len(self.nodes) - 1

    def lead(
        self, start: Iterable[int], end: Sequence[int], label: str, absent: tuple[str, ...] = ()
    ) -> None:
        self.edges += [Edge(one, other, label, absent) for one in start for other in end]

    def part(self, pattern: Pattern, repeat: str = "", group: str = "") -> _Part:
        match pattern:
            case Bind(step):
                node = self._step(step, repeat, group)
                return _Part((node,), (node,))
            case Repeat(node=inner):
                return self._repeated(pattern, inner, group)
            case InOrder(first, links):
                return self._in_order(first, links, group)
            case Choice(options):
                parts = [self.part(option, repeat, group) for option in options]
                return _joined(parts)
            case AnyOrder(parts=inner_parts, count=count):
                return self._any_order(pattern, inner_parts, count)
            case Silence(absent, for_ms):
                name = " or ".join(self._named(step) for step in absent)
                node = self.add("silence", name=f"no {name}", repeat=duration_text(for_ms))
                return _Part((node,), (node,))

    def window(self) -> _Part:
        window = self.rule.window
        assert window is not None
        shape = window.shape
        size = duration_text(shape.size_ms) if shape.size_ms else ""
        if shape.kind is WindowKind.COUNT:
            size = f"{shape.count} events"
        node = self.add(
            "window",
            name=" ".join(part for part in (shape.kind.value, size) if part),
            event=", ".join(sorted({symbol.event for symbol in self.rule.alphabet})),
            condition=expression_text(self.rule, window.when),
        )
        return _Part((node,), (node,))

    def _step(self, index: int, repeat: str, group: str) -> int:
        step = self.rule.steps[index]
        condition = step.condition
        return self.add(
            "step",
            name=step.alias or "",
            event=step.event,
            condition="" if condition is None else expression_text(self.rule, condition),
            repeat=repeat,
            group=group,
        )

    def _repeated(self, pattern: Repeat, inner: Pattern, group: str) -> _Part:
        times = _times(pattern)
        if pattern.until:
            times += f", until {' or '.join(self._named(step) for step in pattern.until)}"
        part = self.part(inner, times, group)
        if not isinstance(inner, Bind):
            self.lead(part.exits, part.entries, times)
        return part

    def _in_order(self, first: Pattern, links: Sequence[Link], group: str) -> _Part:
        part = self.part(first, group=group)
        entries, exits = part.entries, part.exits
        for link in links:
            absent = tuple(self._named(step) for step in link.absent)
            if link.to is None:
                for_ms = link.absent_for_ms
                for_text = "" if for_ms is None else duration_text(for_ms)
                node = self.add("absence", name=f"no {' or '.join(absent)}", repeat=for_text)
                self.lead(exits, (node,), _distance(link.arrow))
                exits = (node,)
                continue
            label = _distance(link.arrow)
            if link.absent_for_ms is not None:
                label = f"{label} after {duration_text(link.absent_for_ms)}".strip()
            following = self.part(link.to, group=group)
            self.lead(exits, following.entries, label, absent)
            exits = following.exits
        return _Part(entries, exits)

    def _any_order(self, pattern: AnyOrder, parts: Sequence[Pattern], count: int) -> _Part:
        self._groups += 1
        which = "all" if count == len(parts) else f"{count} of {len(parts)}"
        absent = "".join(f", no {self._named(step)}" for step in pattern.absent)
        distance = _distance(pattern.arrow)
        group = (
            f"{self._groups}: {which}, in any order{f', {distance}' if distance else ''}{absent}"
        )
        return _joined([self.part(part, group=group) for part in parts])

    def _named(self, index: int) -> str:
        step = self.rule.steps[index]
        if step.condition is None:
            return step.event
        return f"{step.event}[{expression_text(self.rule, step.condition)}]"


def _joined(parts: Sequence[_Part]) -> _Part:
    return _Part(
        tuple(node for part in parts for node in part.entries),
        tuple(node for part in parts for node in part.exits),
    )


def _times(repeat: Repeat) -> str:
    least, most = repeat.least, repeat.most
    if most is None:
        return f"{least} or more times"
    if least == most:
        return f"{least} times"
    return "at most once" if (least, most) == (0, 1) else f"{least} to {most} times"


def _distance(arrow: Arrow) -> str:
    said = {
        Contiguity.STRICT: "the very next event",
        Contiguity.ANY: "any later event",
    }.get(arrow.contiguity, "")
    gap = ""
    if arrow.min_gap_ms is not None and arrow.max_gap_ms is not None:
        gap = f"{duration_text(arrow.min_gap_ms)} to {duration_text(arrow.max_gap_ms)} later"
    elif arrow.max_gap_ms is not None:
        gap = f"at most {duration_text(arrow.max_gap_ms)} later"
    elif arrow.min_gap_ms is not None:
        gap = f"at least {duration_text(arrow.min_gap_ms)} later"
    return ", ".join(part for part in (said, gap) if part)
