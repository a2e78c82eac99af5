"""Checks syntax trees and makes the typed model of them.

A pass is a function over the shared `Context` (or over one rule in it); each lives in its own
file, and the tuples below are the order.  Passes report and go on: a rule that one of them found
broken is left out by the later ones, so one mistake is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dsl import ast, model
from dsl.check.bounds import check_bounds
from dsl.check.clauses import check_clauses
from dsl.check.conditions import check_conditions
from dsl.check.context import Context, RuleDraft, TooMany
from dsl.check.declarations import collect_declarations
from dsl.check.definitions import check_definitions
from dsl.check.emits import check_circles
from dsl.check.events import check_events
from dsl.check.features import check_features
from dsl.check.filters import check_filters
from dsl.check.inline_tests import check_inline_tests
from dsl.check.instances import make_instances
from dsl.check.key_tables import check_key_table
from dsl.check.keys import check_keys
from dsl.check.outputs import check_outputs
from dsl.check.overlap import check_overlap
from dsl.check.patterns import check_pattern
from dsl.check.policy import check_policy
from dsl.check.tables import check_tables
from dsl.check.unavailable import check_availability
from dsl.check.where import check_where
from dsl.check.windows import check_sources, check_when, is_windowed
from dsl.diagnostics import Diagnostic
from dsl.source import Source
from dsl.version import versions

FilePass = Callable[[Context], None]
RulePass = Callable[[Context, RuleDraft], None]

DECLARATION_PASSES: tuple[FilePass, ...] = (
    check_availability,
    collect_declarations,
    check_definitions,
    check_events,
    check_features,
    check_tables,
    check_filters,
    make_instances,
)
WINDOW_PASSES: tuple[RulePass, ...] = (
    check_clauses,
    check_sources,
    check_keys,
    check_key_table,
    check_conditions,
    check_when,
    check_outputs,
)
RULE_PASSES: tuple[RulePass, ...] = (
    check_clauses,
    check_pattern,
    check_keys,
    check_key_table,
    check_conditions,
    check_policy,
    check_bounds,
    check_overlap,
    check_where,
    check_outputs,
)


def check(
    files: Sequence[ast.File], sources: Mapping[str, Source]
) -> tuple[model.RuleSet, list[Diagnostic]]:
    """What the files mean together, and everything wrong with them.

    The rule set holds what was found sound; use it only when no diagnostic is an error.
    """
    context = Context(tuple(files), sources)
    try:
        _run(context)
        rules = tuple(_finish(context, rule) for rule in context.rules.values() if not rule.broken)
        check_circles(context, rules)
    except TooMany:
        return model.RuleSet(context.events, (), ()), context.diagnostics
    found = model.RuleSet(
        context.events, rules, tuple(context.tests), context.tables, context.lists
    )
    return found, context.diagnostics


def _run(context: Context) -> None:
    for declaration_pass in DECLARATION_PASSES:
        declaration_pass(context)
    for rule in (*context.rules.values(), *context.trials):
        passes = WINDOW_PASSES if is_windowed(rule.declaration) else RULE_PASSES
        with context.checking(rule.instance):
            for rule_pass in passes:
                if not rule.broken:
                    rule_pass(context, rule)
    check_inline_tests(context)


def _finish(context: Context, draft: RuleDraft) -> model.Rule:
    assert draft.pattern is not None, "a sound rule has a pattern"
    title = draft.declaration.title
    rule = model.Rule(
        name=draft.name,
        title=title.value if title is not None else None,
        severity=draft.severity,
        tags=draft.tags,
        doc=draft.doc,
        keys=draft.keys,
        alphabet=tuple(draft.alphabet),
        steps=tuple(
            model.Step(
                step.index,
                step.alias.text if step.alias is not None else None,
                step.event.name,
                step.condition,
                step.key,
                step.absent,
                step.repeated,
                step.span,
            )
            for step in draft.steps
        ),
        pattern=draft.pattern,
        within_ms=draft.within_ms,
        where=draft.where,
        skip=draft.skip,
        suppress=draft.suppress,
        message=draft.message,
        attributes=draft.attributes,
        notify=draft.notify,
        version="",
        pattern_version="",
        span=draft.declaration.span,
        policy=draft.policy,
        window=draft.window,
        resolve_when=draft.ends_when,
        priority=draft.priority,
        emits=draft.emits,
        alerts=draft.alert is not None,
        key_table=draft.key_table,
    )
    version, pattern_version = versions(rule, context.events)
    return replace(rule, version=version, pattern_version=pattern_version)
