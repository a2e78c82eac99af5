"""What the handlers work with; the composition root makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fastapi import Request
from sqlalchemy import Engine

from alerts.config import Destinations
from alerts.feed import AlertFeed
from alerts.ports import Clock, SystemClock
from api import limits
from api.streams import Streams
from cep.asking import Asking
from cep.backtest.jobs import BackTests
from cep.deployment.base import RuleBase
from cep.deployment.deployer import Deployer
from cep.intake import Intake
from cep.log.publishing import Appended
from cep.log.routing import EventIds
from cep.tables.stored import StoredTables
from dsl.model import RuleSet

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class EventLog(Protocol):
    """The part of a log that ingestion and figures need; see `cep.log.publishing.TopicLog`."""

    @property
    def partitions(self) -> tuple[str, ...]: ...

    def publish(self, data: bytes, ids: EventIds = ...) -> Appended: ...

    def end(self, partition: str, bookmark: str = "") -> int: ...


def _healthy() -> str | None:
    return None


def _nothing_read() -> Mapping[str, Intake]:
    return {}


class Current(NamedTuple):
    """The rules there are, by the number of their deployment."""

    number: int
    rules: RuleSet
    base: RuleBase


@dataclass(slots=True)
class ApiState:
    """`engine` is the store's database; without a `log` no events are taken, and without a
    `deployer` the rules do not change; without `backtests`, which somebody runs, there are none;
    `asking` is for questions about what is in the log.

    With `authentication` every request needs a key or a login; a caller may make so many
    `requests_per_second` on average.  `destinations` are the dispatcher's.  `health` says what is
    wrong with the program, or None.  `hosts` are the names this server answers to, without port;
    `("*",)` stands for any.  That keeps a web page whose name was pointed at this machine from
    reading the API.
    """

    engine: Engine
    started_with: RuleSet
    log: EventLog | None = None
    health: Callable[[], str | None] = _healthy
    intake: Callable[[], Mapping[str, Intake]] = _nothing_read
    hosts: tuple[str, ...] = LOOPBACK_HOSTS
    deployer: Deployer | None = None
    backtests: BackTests | None = None
    asking: Asking | None = None
    destinations: Destinations = field(default_factory=Destinations)
    clock: Clock = field(default_factory=SystemClock)
    streams: Streams = field(default_factory=Streams)
    alert_feed: AlertFeed = field(init=False)
    tables: StoredTables = field(init=False)
    authentication: bool = False
    requests_per_second: float = limits.REQUESTS_PER_SECOND
    _ids: tuple[int, EventIds] | None = field(default=None, init=False)
    _tags: tuple[int, dict[str, tuple[str, ...]]] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.alert_feed = AlertFeed(self.engine)
        self.tables = StoredTables(self.engine)

    def current(self) -> Current:
        """The newest deployment."""
        if self.deployer is None:
            return Current(0, self.started_with, RuleBase())
        latest = self.deployer.latest()
        return Current(latest.number, self.deployer.deployments.rules(latest.number), latest.base)

    def _newest(self) -> tuple[int, RuleSet]:
        """As `current`, and cheap: rules and their number."""
        if self.deployer is None:
            return 0, self.started_with
        deployments = self.deployer.deployments
        number = deployments.newest(self.clock.now_ms())
        return number, deployments.rules(number)

    @property
    def ids(self) -> EventIds:
        """Where the events that are declared now have their ids."""
        number, rules = self._newest()
        if self._ids is None or self._ids[0] != number:
            self._ids = number, EventIds.of_rules(rules)
        return self._ids[1]

    def tags_of(self, rule: str) -> tuple[str, ...]:
        """The tags of a rule as it is deployed now; none for one that is gone."""
        number, rules = self._newest()
        if self._tags is None or self._tags[0] != number:
            self._tags = number, {one.name: one.tags for one in rules.rules}
        return self._tags[1].get(rule, ())


def state_of(request: Request) -> ApiState:
    """The state the app was made with; a dependency of handlers."""
    state: ApiState = request.app.state.api
    return state
