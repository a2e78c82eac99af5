"""The pattern of a rule drawn as a graph: steps from left to right, what may follow as arrows.

Geometry only; `templates/graph.html` makes SVG of it, where all text is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

NODES_DRAWN = 60
BOX_WIDTH, LINE_HEIGHT, PADDING = 178, 16, 9
GAP_X, LABELLED_GAP_X, GAP_Y, MARGIN = 44, 128, 26, 14
CHARACTERS, LINES = 25, 3  # of a condition
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Box:
    kind: str
    title: str
    lines: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float
    is_entry: bool
    whole: str


@dataclass(frozen=True, slots=True)
class Arrow:
    path: str
    labels: tuple[str, ...]
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """`said` is the graph in words, for who does not see it."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    within: str
    said: tuple[str, ...]


def drawing(graph: Mapping[str, Any]) -> Drawing | None:
    """From a graph as the API has it; None when it has more nodes than are drawn."""
    nodes = graph["nodes"]
    if len(nodes) > NODES_DRAWN:
        return None
    layers = _layers(nodes, graph["edges"])
    boxes: dict[int, Box] = {}
    heights = [sum(_height(node) + GAP_Y for node in layer) - GAP_Y for layer in layers]
    tallest, x = max(heights, default=0), float(MARGIN)
    for layer, height in zip(layers, heights, strict=True):
        y = MARGIN + (tallest - height) / 2
        for node in layer:
            boxes[node["id"]] = _box(node, x, y, node["id"] in graph["entries"])
            y += _height(node) + GAP_Y
        x += BOX_WIDTH + _gap(layer, graph["edges"])
    return Drawing(
        width=x - GAP_X + MARGIN,
        height=2 * MARGIN + tallest,
        boxes=tuple(boxes.values()),
        arrows=tuple(_arrow(edge, boxes) for edge in graph["edges"]),
        within=graph["within"],
        said=tuple(_said(edge, nodes) for edge in graph["edges"]),
    )


def _layers(
    nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]
) -> list[list[Mapping[str, Any]]]:
    """Nodes by how many come before them at most; arrows that lead back do not count."""
    depth = {node["id"]: 0 for node in nodes}
    for edge in sorted(edges, key=lambda one: (one["start"], one["end"])):
        if edge["start"] < edge["end"]:
            depth[edge["end"]] = max(depth[edge["end"]], depth[edge["start"]] + 1)
    layers: list[list[Mapping[str, Any]]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for node in nodes:
        layers[depth[node["id"]]].append(node)
    return [layer for layer in layers if layer]


def _gap(layer: list[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]) -> float:
    """Wide enough for what stands at the arrows that begin here."""
    own = {node["id"] for node in layer}
    said = any(edge["start"] in own and (edge["label"] or edge["absent"]) for edge in edges)
    return LABELLED_GAP_X if said else GAP_X


def _lines(node: Mapping[str, Any]) -> tuple[str, ...]:
    """What stands in a box below its name."""
    if node["kind"] == "match":
        return tuple(_cut(node["name"]))
    lines = [node["event"]] if node["event"] else []
    lines += _cut(node["condition"])
    return (*lines, *([node["repeat"]] if node["repeat"] else []))


def _cut(text: str) -> list[str]:
    lines = wrap(text, CHARACTERS)
    return lines if len(lines) <= LINES else [*lines[: LINES - 1], lines[LINES - 1] + _ELLIPSIS]


def _height(node: Mapping[str, Any]) -> float:
    return 2 * PADDING + LINE_HEIGHT * (1 + len(_lines(node)))


def _box(node: Mapping[str, Any], x: float, y: float, is_entry: bool) -> Box:
    title = "match" if node["kind"] == "match" else node["name"]
    whole = " ".join(part for part in (node["event"], node["condition"], node["repeat"]) if part)
    return Box(
        node["kind"], title, _lines(node), x, y, BOX_WIDTH, _height(node), is_entry, whole or title
    )


def _arrow(edge: Mapping[str, Any], boxes: Mapping[int, Box]) -> Arrow:
    start, end = boxes[edge["start"]], boxes[edge["end"]]
    labels = (*((edge["label"],) if edge["label"] else ()), *(f"no {it}" for it in edge["absent"]))
    short = tuple(label if len(label) <= 20 else label[:19] + _ELLIPSIS for label in labels)
    y1, y2 = start.y + start.height / 2, end.y + end.height / 2
    x1, x2 = start.x + start.width, end.x
    if x2 > x1:
        bend = (x2 - x1) / 2
        path = f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2 - 7} {y2}"
        return Arrow(path, short, (x1 + x2) / 2, (y1 + y2) / 2)
    # Back, or up and down within a column: around the top.
    top = min(start.y, end.y) - 12
    x1, x2 = start.x + start.width / 2, end.x + end.width / 2
    path = f"M{x1} {start.y}C{x1} {top} {x2} {top} {x2} {end.y - 7}"
    return Arrow(path, short, (x1 + x2) / 2, top)


def _said(edge: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> str:
    names = {node["id"]: "the match" if node["kind"] == "match" else node["name"] for node in nodes}
    limits = [*([edge["label"]] if edge["label"] else []), *(f"no {it}" for it in edge["absent"])]
    more = f", {', '.join(limits)}" if limits else ""
    return f"{names[edge['start']]}, then {names[edge['end']]}{more}"
