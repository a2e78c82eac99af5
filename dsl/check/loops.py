"""Repetition and its modifiers: `A{3,} gap ..1m until B`."""

from __future__ import annotations

from dataclasses import replace

from dsl import ast
from dsl.check.lowering import Lowering, Where
from dsl.check.shapes import least_events, links
from dsl.model import AnyOrder, Choice, Contiguity, Pattern, Repeat, Sequence


def repetition(lowering: Lowering, node: ast.Repetition, where: Where) -> Pattern | None:
    if node.most is not None and (node.most == 0 or node.most < node.least):
        written = f"{{{node.least},{node.most}}}"
        lowering.error("E035", f"the quantifier `{written}` takes no event", node.span)
    begin = len(lowering.rule.steps)
    inside = where.in_loop(node.least, node.most)
    body = lowering.lower(node.pattern, inside)
    modifiers = _modifiers(lowering, node)
    until: tuple[int, ...] = ()
    if (written_until := modifiers.get("until")) is not None:
        assert isinstance(written_until.value, ast.Core)
        bound = inside.bound | lowering.bound_since(begin)
        ends = lowering.core(written_until.value, replace(inside, bound=bound), absent=True)
        if ends is None:
            return None
        until = (ends,)
    if body is None:
        return None
    if least_events(body) == 0:
        message = "what is repeated here fits no event at all"
        lowering.error("E037", message, node.pattern.span)
        return None
    if until and any(link.absent_for_ms is not None for link in links(body)):
        message = "`until` on a group with a timed `not` inside"
        lowering.error("E034", message, node.span, "leave out one of the two")
    if (node.least, node.most) == (1, 1):
        return body
    gap = modifiers["gap"].value if "gap" in modifiers else None
    assert gap is None or isinstance(gap, ast.Gap)
    arrow = lowering.arrow(_contiguity(modifiers), gap)
    return Repeat(
        _ended_by(body, until),
        node.least,
        node.most,
        greedy=node.preference != "reluctant",
        arrow=arrow,
        until=until,
        possessive=node.preference == "possessive",
    )


def _contiguity(modifiers: dict[str, ast.Modifier]) -> Contiguity:
    if "consecutive" in modifiers:
        return Contiguity.STRICT
    return Contiguity.ANY if "combinations" in modifiers else Contiguity.NEXT


def _modifiers(lowering: Lowering, node: ast.Repetition) -> dict[str, ast.Modifier]:
    """The modifiers by their word, each once."""
    found: dict[str, ast.Modifier] = {}
    for modifier in node.modifiers:
        if found.setdefault(modifier.word, modifier) is not modifier:
            lowering.error("E035", f"`{modifier.word}` twice", modifier.span, "keep one of them")
    if found and node.most == 1:
        message = "a loop of one round has nothing between its rounds"
        first = node.modifiers[0]
        lowering.error("E035", message, first.span, f"leave out `{first.word}`")
    if "consecutive" in found and "combinations" in found:
        message = "`consecutive` passes over nothing, `combinations` over anything"
        lowering.error("E035", message, found["combinations"].span, "keep one of them")
    return found


def _ended_by(pattern: Pattern, until: tuple[int, ...]) -> Pattern:
    """The body of a loop that also ends in the middle of a round."""
    if not until:
        return pattern
    match pattern:
        case Repeat(node, until=own):
            return replace(pattern, node=_ended_by(node, until), until=own + until)
        case Choice(options):
            return Choice(tuple(_ended_by(option, until) for option in options))
        case AnyOrder(absent=absent):
            return replace(pattern, absent=absent + until)
        case Sequence(first, written):
            return Sequence(
                _ended_by(first, until),
                tuple(
                    replace(
                        link,
                        absent=link.absent + until,
                        to=None if link.to is None else _ended_by(link.to, until),
                    )
                    for link in written
                ),
            )
        case _:
            return pattern
