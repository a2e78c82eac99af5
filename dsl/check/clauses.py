"""Pass: the clauses of each rule, the required ones present, and each at most once.

Only `cancel on`, `resolve on` and `emit` may be written several times.
"""

from __future__ import annotations

from dsl import ast
from dsl.check.context import Context, RuleDraft

SEVERITIES = ("info", "low", "medium", "high", "critical")
_SLOTS: dict[type[ast.Node], tuple[str, str]] = {
    ast.By: ("by", "by"),
    ast.Over: ("over", "over"),
    ast.Match: ("match", "match"),
    ast.Within: ("within", "within"),
    ast.Where: ("where_clause", "where"),
    ast.When: ("when", "when"),
    ast.Suppress: ("suppress_clause", "suppress"),
    ast.Alert: ("alert", "alert"),
    ast.AfterMatch: ("after_match", "after match"),
    ast.Limit: ("limit", "limit"),
    ast.ResolveWhen: ("resolve_when", "resolve when"),
}
_ONCE: dict[type[ast.Node], str] = {
    ast.Severity: "severity",
    ast.Tags: "tags",
    ast.Doc: "doc",
    ast.Priority: "priority",
    ast.Notify: "notify",
}


def check_clauses(context: Context, rule: RuleDraft) -> None:
    seen: dict[str, ast.Clause] = {}
    for clause in rule.declaration.clauses:
        if isinstance(clause, ast.Cancel):
            rule.cancel_clauses.append(clause)
            continue
        if isinstance(clause, ast.ResolveOn):
            rule.resolve_clauses.append(clause)
            continue
        if isinstance(clause, ast.Emit):
            rule.emit_clauses.append(clause)
            continue
        word = _word(clause)
        first = seen.setdefault(word, clause)
        if first is not clause:
            message = f"a second `{word}`; the first is at {context.place(first.span)}"
            context.report("E061", message, clause.span)
            continue
        _take(context, rule, clause)
    windowed = rule.over is not None and rule.over.window is not None
    if rule.when is not None and not windowed:
        message, hint = "`when` needs a window", "write `over Event window sliding 10m`"
        context.report("E062", message, rule.when.span, f"{hint}, or `where` for a pattern")
        rule.broken = True
    for word, found, hint in (
        ("when", rule.when, "say what the window must show: `when count() >= 10`")
        if windowed
        else ("match", rule.match, "say what to look for: `match a: Event[…] -> b: Event[…]`"),
        ("alert", rule.alert or rule.emit_clauses, 'say what to tell people: `alert "…"`'),
    ):
        if not found:
            message = f"rule `{rule.name}` has no `{word}`"
            context.report("E062", message, rule.declaration.name.span, hint)
            rule.broken = True
    if rule.alert is None and rule.notify_clause is not None:
        message, hint = "`notify` without an `alert` has nothing to tell", 'add `alert "…"`'
        context.report("E062", message, rule.notify_clause.span, hint)
        rule.broken = True


def _word(clause: ast.Clause) -> str:
    if isinstance(clause, ast.Choose):
        return clause.what
    if isinstance(clause, ast.Within) and clause.per_step:
        return "within … per step"
    if type(clause) in _SLOTS:
        return _SLOTS[type(clause)][1]
    return _ONCE.get(type(clause), type(clause).__name__.lower())


def _take(context: Context, rule: RuleDraft, clause: ast.Clause) -> None:
    if isinstance(clause, ast.Within) and clause.per_step:
        rule.step_within = clause
    elif type(clause) in _SLOTS:
        setattr(rule, _SLOTS[type(clause)][0], clause)
    elif isinstance(clause, ast.Severity):
        if clause.name.text not in SEVERITIES:
            message = f"unknown severity `{clause.name.text}`"
            context.unknown("E060", message, clause.name, SEVERITIES)
        rule.severity = clause.name.text
    elif isinstance(clause, ast.Tags):
        rule.tags = tuple(dict.fromkeys(tag.value for tag in clause.tags))
    elif isinstance(clause, ast.Doc):
        rule.doc = clause.text.value
    elif isinstance(clause, ast.Priority):
        rule.priority = clause.value
    elif isinstance(clause, ast.Notify):
        rule.notify_clause = clause
        rule.notify = tuple(dict.fromkeys(name.value for name in clause.destinations))
    elif isinstance(clause, ast.Choose):
        rule.choices[clause.what] = clause
