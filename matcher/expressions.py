"""Cut conditions: what one event decides becomes an atom, the rest tests or byte code.

A condition is cut at its `and`s.  A part that reads only the event being tested is an atom, tested
for the whole batch at once.  A part that compares it with one earlier event is a test of a column
against a register.  What is left is compiled by `matcher.programs`.
"""

from __future__ import annotations

from collections.abc import Iterator

from dsl.model import Call, Expr, Kind, Rule, Type
from matcher.bytecode import Compare
from matcher.layout import Layout, is_float
from matcher.programs import about, can_be_captured


def conjuncts(condition: Expr | None) -> Iterator[Expr]:
    """The parts that must all be true."""
    if isinstance(condition, Call) and condition.op == "and":
        for part in condition.args:
            yield from conjuncts(part)
    elif condition is not None:
        yield condition


def conjoin(parts: list[Expr]) -> Expr | None:
    if not parts:
        return None
    whole = parts[0]
    for part in parts[1:]:
        optional = whole.type.optional or part.type.optional
        whole = Call(Type(Kind.BOOL, optional=optional), "and", (whole, part), part.span)
    return whole


Test = tuple[int, int, int]
SIDES_SWAPPED = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


def split_tests(
    condition: Expr | None, step: int, layout: Layout
) -> tuple[list[Test], Expr | None]:
    """(comparisons of the event with one earlier event, what is left for the byte code)."""
    tests: list[Test] = []
    rest: list[Expr] = []
    for part in conjuncts(condition):
        test = _test(part, step, layout)
        if test is None:
            rest.append(part)
        else:
            tests.append(test)
    return tests, conjoin(rest)


def _test(part: Expr, step: int, layout: Layout) -> Test | None:
    if not isinstance(part, Call) or part.op not in SIDES_SWAPPED:
        return None
    op, (own, bound) = part.op, part.args
    if None not in about(own, layout.rule):
        op, own, bound = SIDES_SWAPPED[op], bound, own
    earlier = about(bound, layout.rule)
    if about(own, layout.rule) != {None} or len(earlier) != 1 or earlier & {None, -1}:
        return None
    if not can_be_captured(bound):
        return None
    (bound_step,) = earlier
    assert bound_step is not None
    compare = Compare[f"{op.upper()}_{'FLOAT' if is_float(own.type) else 'INT'}"]
    return int(compare), layout.column(step, own), layout.capture(bound_step, bound)


def own_parts(condition: Expr | None, rule: Rule) -> tuple[list[Expr], Expr | None]:
    """(the parts one event decides, what is left for the byte code)."""
    own: list[Expr] = []
    rest: list[Expr] = []
    for part in conjuncts(condition):
        (own if about(part, rule) <= {None} else rest).append(part)
    return own, conjoin(rest)
