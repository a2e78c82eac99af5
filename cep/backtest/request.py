"""What somebody asks for by the API, as the store keeps it; and what a process is given for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from cep.backtest.question import Question, Range
from cep.deployment.base import RuleBase
from cep.errors import UsageError
from cep.store.deployments import SqlDeployments
from cep.tables.reading import Source
from dsl.diagnostics import did_you_mean


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """`text`, called `name`, is put into deployment `deployment`; `baseline` is one, too.

    Deployments never change, so the numbers say what the rules are.
    """

    topic: str
    deployment: int
    baseline: int | None = None
    name: str | None = None
    text: str | None = None
    rule: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def of_json(data: bytes) -> Request:
        return msgspec.json.decode(data, type=Request)

    @property
    def texts(self) -> dict[str, str]:
        """What is put into the deployment."""
        return {} if self.name is None or self.text is None else {self.name: self.text}

    @property
    def range(self) -> Range:
        return Range(self.since_ms, self.until_ms)


@dataclass(frozen=True, slots=True)
class Task:
    """All that a process needs to know; it compiles the rules itself.  `log` is a URL."""

    log: str
    candidate: RuleBase
    baseline: RuleBase | None
    rule: str | None
    range: Range
    tables: Mapping[str, Source]

    def question(self) -> Question:
        candidate = self.candidate.compiled()
        baseline = None if self.baseline is None else self.baseline.compiled()
        both = [rules for rules in (candidate, baseline) if rules is not None]
        declared = {name for rules in both for name in (*rules.tables, *rules.lists)}
        tables = {name: source for name, source in self.tables.items() if name in declared}
        return Question(candidate, baseline, self.rule, self.range, tables)


def task_of(
    request: Request, deployments: SqlDeployments, log: str, tables: Mapping[str, Source]
) -> Task:
    """Raises UsageError for deployments that there are not, and a rule that neither has."""
    candidate = deployments.get(request.deployment).base
    for name, text in request.texts.items():
        candidate = candidate.with_text(name, text)
    number = request.baseline
    baseline = None if number is None else deployments.get(number).base
    known = [*candidate.rules, *(baseline.rules if baseline is not None else ())]
    if request.rule is not None and request.rule not in known:
        hint = did_you_mean(request.rule, known) or f"declared: {', '.join(known) or 'none'}"
        raise UsageError(f"no rule {request.rule!r}; {hint.replace('`', '')}")
    return Task(log, candidate, baseline, request.rule, request.range, tables)
