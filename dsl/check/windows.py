"""Passes for rules of windows: sources, shape, the condition, and what does not go with a window.

The sources become the rule's steps, so that keys and conditions are checked as those of patterns.
A window's aggregates are over all of its events, so they name fields that every source has.
"""

from __future__ import annotations

from dsl import ast, limits
from dsl.check.conditions import match_scope
from dsl.check.context import Context, RuleDraft, StepDraft
from dsl.check.expressions import Checker
from dsl.check.filters import named_event
from dsl.diagnostics import one_of
from dsl.model import (
    Bind,
    Choice,
    Const,
    Expr,
    Pattern,
    Policy,
    Repeat,
    Window,
    WindowFire,
    WindowKind,
    WindowShape,
)
from dsl.strings import duration_text

_NO_WINDOW: dict[type[ast.Node], str] = {
    ast.Match: "a rule has a `match` or a window, not both",
    ast.Within: "the window itself says how long",
    ast.Where: "write the condition behind `when`",
    ast.Cancel: "filter the events in `over`",
    ast.AfterMatch: "only partial matches of a pattern are skipped",
    ast.Limit: "a window has no partial matches",
}
_WORDS = {"aftermatch": "after match", "cancel": "cancel on"}
_AT_END = (WindowFire.CLOSE, WindowFire.EDGE, WindowFire.EACH, WindowFire.ONCE)
_FIRES: dict[tuple[WindowKind, bool], tuple[WindowFire, ...]] = {
    (WindowKind.SLIDING, False): (WindowFire.EDGE, WindowFire.EACH, WindowFire.ONCE),
    (WindowKind.COUNT, False): (WindowFire.EDGE, WindowFire.EACH, WindowFire.ONCE),
    (WindowKind.COUNT, True): (WindowFire.EACH, WindowFire.EDGE, WindowFire.ONCE),
    (WindowKind.TUMBLING, False): _AT_END,
    (WindowKind.SESSION, False): _AT_END,
    (WindowKind.HOPPING, True): (WindowFire.CLOSE, WindowFire.ONCE),
}
"""Ways of firing by kind and whether `every` is written; the first is the default."""


def is_windowed(declaration: ast.Declaration) -> bool:
    """Whether this is a rule of a window."""
    clauses = getattr(declaration, "clauses", ())
    return any(isinstance(clause, ast.Over) and clause.window is not None for clause in clauses)


def check_sources(context: Context, rule: RuleDraft) -> None:
    """The sources as steps, the window's shape, and clauses that mean nothing here."""
    assert rule.over is not None and rule.over.window is not None, "only for windows"
    before = len(context.diagnostics)
    for clause in rule.declaration.clauses:
        hint: str | None = _NO_WINDOW.get(type(clause))
        word: str = type(clause).__name__.lower()
        if isinstance(clause, ast.Choose) and clause.what != "fire":
            hint, word = "only partial matches of a pattern are chosen from", clause.what
        if hint is not None:
            word = _WORDS.get(word, word)
            context.report("E082", f"`{word}` does not go with a window", clause.span, hint)
    for core in rule.over.sources:
        _source(context, rule, core)
    if len(rule.steps) > limits.STEPS_MAX:
        context.report("E004", f"more than {limits.STEPS_MAX} sources", rule.over.span)
    rule.shape = window_shape(context, rule.over.window)
    rule.broken = rule.broken or len(context.diagnostics) > before
    if not rule.broken:
        binds: list[Pattern] = [Bind(step.index) for step in rule.steps]
        one = binds[0] if len(binds) == 1 else Choice(tuple(binds))
        rule.pattern = Repeat(one, 1, None, greedy=True)


def _source(context: Context, rule: RuleDraft, core: ast.Core) -> None:
    base = named_event(context, core.name)
    if base is None:
        rule.broken = True
        return
    event = context.events[base.event]
    context.check_time(event, core.name, "place in a window")
    index, nothing = len(rule.steps), frozenset[int]()
    rule.steps.append(
        StepDraft(index, None, core, event, base.condition, False, True, False, nothing, core.span)
    )


def check_when(context: Context, rule: RuleDraft) -> None:
    """The window's condition, its way of firing, and when what it detected is over."""
    assert rule.when is not None and rule.shape is not None, "broken rules come no further"
    before = len(context.diagnostics)
    checker = Checker(context, match_scope(rule))
    when = checker.condition(rule.when.condition)
    fire = _fire(context, rule, rule.shape)
    if rule.resolve_when is not None:
        rule.ends_when = checker.condition(rule.resolve_when.condition)
    if len(context.diagnostics) > before or when is None:
        rule.broken = True
        return
    _always(context, when, rule.when.condition)
    if rule.resolve_when is not None:
        _always(context, rule.ends_when, rule.resolve_when.condition)
    rule.policy = Policy(resolve=rule.resolve)
    rule.window = Window(rule.shape, when, fire)


def _always(context: Context, condition: Expr | None, written: ast.Expression) -> None:
    """Warn of a condition that does not depend on the window."""
    if isinstance(condition, Const):
        message = f"this condition is always {str(bool(condition.value)).lower()}"
        context.report("W003", message, written.span)


def _fire(context: Context, rule: RuleDraft, shape: WindowShape) -> WindowFire:
    assert rule.over is not None and rule.over.window is not None
    known = _FIRES[shape.kind, rule.over.window.every is not None]
    for clause in rule.declaration.clauses:
        if isinstance(clause, ast.Choose) and clause.what == "fire":
            words = [fire.value for fire in known]
            if clause.word.text in words:
                return WindowFire(clause.word.text)
            message = f"a {shape.kind.value} window has no `fire {clause.word.text}`"
            hint = f"it has {one_of([f'`fire {word}`' for word in words])}"
            context.report("E081", message, clause.word.span, hint)
    return known[0]


# ------------------------------------------------------------------------------------- shapes


def window_shape(context: Context, node: ast.Window) -> WindowShape | None:
    """The written window; None after reporting what is wrong with it."""
    kinds = [kind.value for kind in WindowKind]
    if node.kind.text not in kinds:
        message = f"unknown kind of window `{node.kind.text}`"
        context.unknown("E017", message, node.kind, kinds)
        return None
    before = len(context.diagnostics)
    kind = WindowKind(node.kind.text)
    shape = _counted(context, node) if kind is WindowKind.COUNT else _timed(context, node, kind)
    return shape if len(context.diagnostics) == before else None


def _timed(context: Context, node: ast.Window, kind: WindowKind) -> WindowShape:
    size = node.size
    if isinstance(size, ast.Name):
        context.report("E013", f"unknown name `{size.text}`", size.span)
    elif not isinstance(size, ast.Duration):
        what = "gap" if kind is WindowKind.SESSION else "length"
        hint = f"write `window {kind.value} 10m`"
        context.report("E080", f"a {kind.value} window needs a {what}", node.span, hint)
    elif size.ms == 0:
        context.report("E080", "a window of no time", size.span)
    size_ms = size.ms if isinstance(size, ast.Duration) else 0
    every_ms = 0
    if kind is WindowKind.HOPPING:
        every_ms = _hop(context, node, size_ms)
    elif node.every is not None:
        every_hint = "write `window hopping … every …`" if kind is WindowKind.TUMBLING else None
        message = f"a {kind.value} window has no `every`"
        context.report("E080", message, node.every.span, every_hint)
    if node.cap is not None and kind is not WindowKind.SESSION:
        context.report("E080", f"a {kind.value} window has no `cap`", node.cap.span)
    elif node.cap is not None and node.cap.ms < size_ms:
        message = "`cap` is shorter than the gap"
        context.report("E080", message, node.cap.span, f"at least {duration_text(size_ms)}")
    cap_ms = node.cap.ms if node.cap is not None else None
    if kind is WindowKind.SESSION and cap_ms is None:
        cap_ms = limits.SESSION_MS_MAX
        if size_ms > cap_ms:
            hint = f"write `cap {duration_text(size_ms)}`, or more"
            message = "without `cap` a session is at most a day long"
            context.report("E040", message, node.span, hint)
    return WindowShape(
        kind,
        size_ms=size_ms,
        every=size_ms if kind is WindowKind.TUMBLING else every_ms,
        cap_ms=cap_ms,
    )


def _hop(context: Context, node: ast.Window, size_ms: int) -> int:
    every = node.every
    if not isinstance(every, ast.Duration) or every.ms == 0:
        hint = "write `window hopping 5m every 1m`"
        message = "a hopping window needs an `every`"
        context.report("E080", message, every.span if every else node.span, hint)
        return 0
    if every.ms > size_ms > 0:
        message = "`every` is longer than the window, so events between windows are in none"
        context.report("E080", message, every.span, f"at most {duration_text(size_ms)}")
    elif size_ms > every.ms * limits.WINDOWS_PER_EVENT_MAX:
        message = f"an event would be in more than {limits.WINDOWS_PER_EVENT_MAX:,} windows"
        context.report("E080", message, every.span, "make `every` longer, or use `sliding`")
    return every.ms


def _counted(context: Context, node: ast.Window) -> WindowShape:
    size, every = node.size, node.every
    if isinstance(size, ast.Name):
        context.report("E013", f"unknown name `{size.text}`", size.span)
    elif not isinstance(size, ast.Number) or not 0 < size.value <= limits.WINDOW_EVENTS_MAX:
        message = f"a count window needs a number of events, at most {limits.WINDOW_EVENTS_MAX:,}"
        hint = "write `window count 20 cap 1d`"
        context.report("E080", message, size.span if size else node.span, hint)
    if every is not None and (not isinstance(every, ast.Number) or every.value == 0):
        message = "`every` of a count window is a number of events"
        context.report("E080", message, every.span)
    if node.cap is None:
        message = "a count window without `cap` would be kept for ever"
        hint = "say how old its events may be: `cap 7d`"
        context.report("E040", message, node.span, hint)
    elif node.cap.ms == 0:
        context.report("E080", "a window of no time", node.cap.span)
    return WindowShape(
        WindowKind.COUNT,
        count=int(size.value) if isinstance(size, ast.Number) else 0,
        every=int(every.value) if isinstance(every, ast.Number) else 1,
        cap_ms=node.cap.ms if node.cap is not None else None,
    )
