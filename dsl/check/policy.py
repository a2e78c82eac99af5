"""Pass: the options that say which partial matches start, survive and are reported.

Each word must be known, and options that contradict one another or can have no effect are
refused: whoever wrote them expects something else.
"""

from __future__ import annotations

from dsl import limits
from dsl.check.conditions import step_names
from dsl.check.context import Context, RuleDraft
from dsl.check.shapes import least_events
from dsl.model import (
    AnyOrder,
    Bind,
    Choice,
    Fire,
    Pattern,
    Policy,
    Repeat,
    Runs,
    Sequence,
    Silence,
    Skip,
    leading_silence,
)

_WORDS = {
    "fire": ("first", "each", "once", "close", "edge"),
    "runs": tuple(word.value for word in Runs),
    "matches": ("best", "all"),
}
_SKIPS = {
    "past last": Skip.PAST_LAST,
    "to next": Skip.NONE,  # a start has one match, so the next match begins at the next start
    "to first": Skip.FIRST,
    "to last": Skip.LAST,
    "no skip": Skip.NONE,
}


def check_policy(context: Context, rule: RuleDraft) -> None:
    before = len(context.diagnostics)
    words = {what: _word(context, rule, what) for what in _WORDS}
    every = words["matches"] == "all"
    if rule.after_match is not None:
        rule.skip = _SKIPS[rule.after_match.skip]
    elif every:
        rule.skip = Skip.NONE
    if rule.resolve_when is not None:
        message = "`resolve when` is for windows; a pattern is resolved by an event"
        hint = "write `resolve on Event[…]`"
        context.report("E066", message, rule.resolve_when.span, hint)
    skip_to = _skip_to(context, rule)
    _fire(context, rule, words["fire"], every)
    runs_max = None if rule.limit is None else rule.limit.runs
    if runs_max is not None and not 1 <= runs_max <= limits.RUNS_MAX:
        assert rule.limit is not None
        message = f"`limit` is between 1 and {limits.RUNS_MAX} runs"
        context.report("E006", message, rule.limit.span)
    if len(context.diagnostics) > before:
        rule.broken = True
        return
    rule.policy = Policy(
        every,
        Runs(words["runs"]),
        Fire(words["fire"]),
        skip_to,
        runs_max,
        rule.cancel,
        rule.resolve,
    )


def _word(context: Context, rule: RuleDraft, what: str) -> str:
    """The word chosen; the first one known when there is none, or an unknown one was reported."""
    known = _WORDS[what]
    chosen = rule.choices.get(what)
    if chosen is None:
        return known[0]
    if chosen.word.text not in known:
        context.unknown("E017", f"`{what}` knows no `{chosen.word.text}`", chosen.word, known)
        return known[0]
    return chosen.word.text


def _fire(context: Context, rule: RuleDraft, word: str, every: bool) -> None:
    chosen, pattern = rule.choices.get("fire"), rule.pattern
    assert pattern is not None, "broken rules come no further"
    if every and rule.after_match is not None and rule.after_match.skip != "no skip":
        message = "`matches all` reports every match, so there is nothing to skip"
        context.report("E066", message, rule.after_match.span, "take out `after match`")
    if chosen is None or word == "first":
        return
    hint = None
    if every:
        message = f"`matches all` reports every match, whatever `fire {word}` says"
        hint = f"take out `fire {word}`, or `matches all`"
    elif word == "edge":
        message, hint = "`fire edge` is for windows", "write `fire first`, the default"
    elif word == "each" and not _grows(pattern):
        message = "`fire each` reports each extension of a match, and this one cannot grow"
        hint = "end the pattern with a repetition, as in `A{5,}`"
    elif word == "close" and _waits(pattern):
        message = "`fire close` has nothing to wait for: the `not` at the end waits by itself"
        hint = "take out `fire close`"
    elif word == "close" and rule.within is not None and rule.within.limit is None:
        message = "`fire close` waits until `within` ends, and this one does not"
        hint = "write `within 10m` (or what suits)"
    else:
        return
    context.report("E066", message, chosen.span, hint)


def _skip_to(context: Context, rule: RuleDraft) -> int | None:
    """The step that `skip to first` and `skip to last` name."""
    clause, pattern = rule.after_match, rule.pattern
    if clause is None or clause.target is None:
        return None
    assert pattern is not None, "broken rules come no further"
    names = step_names(rule)
    step = names.get(clause.target.text)
    if step is None:
        message = f"no step is called `{clause.target.text}`"
        context.unknown("E013", message, clause.target, names)
        return None
    if step.absent:
        message = f"`{step.label}` must not occur, so no match goes on there"
        context.report("E067", message, clause.target.span, "name a step that is bound")
    elif _begins(rule, pattern, step.index):
        message = f"a match that goes on at its own first event, `{step.label}`, never ends"
        hint = "write `skip to next` to begin behind it"
        context.report("E067", message, clause.target.span, hint)
    return step.index


def _begins(rule: RuleDraft, pattern: Pattern, step: int) -> bool:
    """Whether the event that `skip to` looks for is always the first of the match."""
    _, events = leading_silence(pattern)
    leading = set() if events is None else _leading(events)
    assert rule.after_match is not None, "only for `skip to`"
    if rule.after_match.skip == "to first" and leading == {step}:
        return True
    return step in leading and not rule.steps[step].repeated


def _leading(pattern: Pattern) -> set[int]:
    """The steps that are the first of every match they are in."""
    match pattern:
        case Bind(step):
            return {step}
        case Repeat(node):
            return _leading(node)
        case Choice(options):
            return {step for option in options for step in _leading(option)}
        case Sequence(first) if least_events(first):
            return _leading(first)
        case _:
            return set()


def _grows(pattern: Pattern) -> bool:
    """Whether a complete match can take another event."""
    match pattern:
        case Repeat(node, least, most):
            return most is None or most > least or _grows(node)
        case Choice(parts) | AnyOrder(parts):
            return any(_grows(part) for part in parts)
        case Sequence(first, links):
            last = links[-1].to
            if last is None:
                return False
            return _grows(last) or (least_events(last) == 0 and _grows(first))
        case _:
            return False


def _waits(pattern: Pattern) -> bool:
    """Whether the pattern ends with an absence."""
    if isinstance(pattern, Sequence):
        return pattern.links[-1].to is None
    return isinstance(pattern, Silence)
