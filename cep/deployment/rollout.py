"""Which deployments a partition has to take up, and where.

A deployment is taken up between two steps: where its position is recorded already (a replay), there
exactly; else at once, and that is the position that gets recorded.  They are taken up in the order
of their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cep import limits
from cep.deployment.base import RuleBase
from cep.deployment.running import Leaving, Left, Running, Saved
from cep.deployment.switch import Policy
from cep.errors import CepError, RulesError, StoreError
from cep.ports import ActivationRow
from dsl.model import RuleSet


@dataclass(frozen=True, slots=True)
class Deployment:
    """`what` was done, in words; `policy` says what becomes of old partial matches."""

    number: int
    what: str
    base: RuleBase
    policy: Policy
    recorded_ms: int


class Deployments(Protocol):
    """What was deployed for one log, in the order of the numbers; they never change."""

    def newest(self, now_ms: int) -> int:
        """The number of the newest, or 0; asked for no more often than the store is to be."""
        ...

    def after(self, number: int) -> Sequence[Deployment]: ...

    def get(self, number: int) -> Deployment: ...

    def rules(self, number: int) -> RuleSet:
        """The rules of a deployment, compiled; raises RulesError."""
        ...

    def activations(self, partition: str) -> Sequence[ActivationRow]: ...


class Rollout:
    """Of one partition."""

    def __init__(self, deployments: Deployments, partition: str) -> None:
        self._deployments = deployments
        self._partition = partition
        self._number = 0  # of the newest one known
        self._waiting: list[Deployment] = []
        self._recorded: Mapping[int, ActivationRow] = {}
        self._again_ms = limits.BEGINNING_OF_TIME_MS
        self._wait_ms = limits.DEPLOYMENTS_LOOK_MS

    def begin(self, pages: Mapping[str, bytes], now_ms: int) -> Running:
        """The rules that the state of the pages belongs to.

        When there is no state, or this program does not compile its rules any more, those that a
        record says were the first then, or else the newest.  Raises StoreError when there are none,
        RulesError when they do not compile.
        """
        saved = Saved.of(pages)
        self._number = saved.deployment
        problem: CepError = StoreError(f"the store knows no rules for {self._partition!r}")
        if saved.deployment:
            try:
                return self._running(saved)
            except RulesError as error:
                problem = error
        self._look(now_ms)
        if not self._waiting:
            raise problem
        recorded = [one for one in self._waiting if one.number in self._recorded]
        first = recorded[0] if recorded else self._waiting[-1]
        self._waiting = [one for one in self._waiting if one.number > first.number]
        return self.running(first)

    def running(self, deployment: Deployment) -> Running:
        """Raises RulesError."""
        number = deployment.number
        return Running(self._deployments.rules(number), deployment.base.modes, deployment=number)

    def due(self, position: int, now_ms: int) -> Deployment | None:
        """The next one to take up at `position`; call it again until there is none."""
        self._look(now_ms)
        while self._waiting and now_ms >= self._again_ms:
            next_ = self._waiting[0]
            recorded = self._recorded.get(next_.number)
            if recorded is not None and recorded.position > position:
                return None
            self._waiting.pop(0)
            if recorded is None or recorded.refused is None:
                return next_
        return None

    def postpone(self, deployment: Deployment, now_ms: int) -> None:
        """It could not be taken up now: it is due again, later each time."""
        self._waiting.insert(0, deployment)
        self._again_ms = now_ms + self._wait_ms
        self._wait_ms = min(2 * self._wait_ms, limits.DEPLOYMENT_RETRY_MS_MAX)

    def room(self, position: int) -> int:
        """How many records may be read at once, so that none is passed at which one is due."""
        recorded = self._recorded.get(self._waiting[0].number) if self._waiting else None
        if recorded is None or recorded.position <= position:
            return limits.BATCH_RECORDS_MAX
        return recorded.position - position

    # ------------------------------------------------------------------------------------ parts

    def _look(self, now_ms: int) -> None:
        if self._deployments.newest(now_ms) <= self._number:
            return
        self._waiting += self._deployments.after(self._number)
        self._number = self._waiting[-1].number
        rows = self._deployments.activations(self._partition)
        self._recorded = {row.deployment: row for row in rows}

    def _running(self, saved: Saved) -> Running:
        current = self.running(self._deployments.get(saved.deployment))
        leaving = {left.alias: self._leaving(left) for left in saved.leaving}
        found = {alias: one for alias, one in leaving.items() if one is not None}
        return Running(current.rules, current.modes, found, current.deployment)

    def _leaving(self, left: Left) -> Leaving | None:
        """None when this program does not compile the old version any more."""
        try:
            rules = self._deployments.rules(left.deployment).rules
        except RulesError:
            return None
        return next((Leaving(left, rule) for rule in rules if rule.name == left.rule), None)
