"""Deploying: the next base made, checked as a whole, and recorded.  Nothing is recorded of what
would not run.

The files that a program is started with are deployed, too: those that have changed since it was
last started with them.  What was deployed since then stays, so a roll-back outlives a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from cep import limits
from cep.deployment.base import Mode, RuleBase
from cep.deployment.rollout import Deployment
from cep.deployment.running import Running
from cep.deployment.switch import Policy
from cep.errors import RulesError, StaleDeployment, UsageError
from cep.fold import Fold
from cep.log.publishing import TopicLog
from cep.log.topics import Topic
from cep.partitioning import check_partitioned
from cep.ports import Log
from cep.store.deployments import SqlDeployments, text_id
from dsl.model import RuleSet, Table

_START_ATTEMPTS = 10
Edit = Callable[[RuleBase], RuleBase]


@dataclass(frozen=True, slots=True)
class Deployed:
    """`number` is that of the new deployment, or of the newest one when nothing has changed.

    `before` is the base until then, and `rules_before` its rules, where they still compile.
    """

    number: int
    base: RuleBase
    rules: RuleSet
    before: RuleBase = field(default_factory=RuleBase)
    rules_before: RuleSet | None = None
    changed: bool = True


class Deployer:
    """Of one log; `topic`, where it is known, is what the rules have to be able to run on."""

    def __init__(self, deployments: SqlDeployments, topic: Topic | None = None) -> None:
        self.deployments = deployments
        self._topic = topic

    def deploy(
        self,
        texts: Mapping[str, str],
        mode: Mode | None = None,
        policy: Policy = Policy.DRAIN,
        made_from: int | None = None,
        outside: bool = False,
    ) -> Deployed:
        """Texts by name; their rules get `mode`, or keep the one they have.

        Those from `outside` may not say where rows of tables are read from.  With `made_from`
        that deployment must be the newest.  Raises RulesError with the diagnostics, UsageError for
        what cannot be run, StaleDeployment when somebody else was faster.
        """
        for name in texts:
            if not 0 < len(name) <= limits.RULE_PATH_CHARACTERS_MAX:
                raise UsageError(
                    f"the name of a text has 1 to {limits.RULE_PATH_CHARACTERS_MAX} characters"
                )

        def edit(base: RuleBase) -> RuleBase:
            for name, text in texts.items():
                base = base.with_text(name, text)
            if mode is not None:
                base = base.with_mode(RuleBase(texts).rules, mode)
            return base

        refused = texts if outside else ()
        return self._change(f"deploy {', '.join(texts)}", edit, policy, made_from, refused)

    def considered(self, texts: Mapping[str, str], number: int | None = None) -> Deployed:
        """What a deployment of these texts from outside would be; nothing is recorded.

        They are put into deployment `number`, or into the newest.  Raises as `deploy` does.
        """
        found = self.latest() if number is None else self.deployments.get(number)
        base = found.base
        for name, text in texts.items():
            base = base.with_text(name, text)
        rules = self._checked(base) if texts else self.deployments.rules(found.number)
        _check_sources(rules, texts)
        return Deployed(found.number, base, rules, found.base, changed=base != found.base)

    def set_mode(
        self,
        rules: Collection[str],
        mode: Mode,
        policy: Policy = Policy.DRAIN,
        made_from: int | None = None,
    ) -> Deployed:
        """Pauses rules, lets them run, or puts them in shadow."""
        verb = {Mode.LIVE: "resume", Mode.SHADOW: "shadow", Mode.PAUSED: "pause"}[mode]
        what = f"{verb} {', '.join(rules)}"
        return self._change(what, lambda base: base.with_mode(rules, mode), policy, made_from)

    def roll_back(
        self, rule: str, policy: Policy = Policy.DRAIN, made_from: int | None = None
    ) -> Deployed:
        """The rule has the text again that it had before its last change."""
        earlier = [one.base for one in self.deployments.listed(limit=limits.READ_PAGE_ROWS_MAX)]
        what = f"roll {rule} back"
        return self._change(what, lambda base: base.rolled_back(rule, earlier), policy, made_from)

    def return_rule_to(
        self, rule: str, text: str, policy: Policy = Policy.DRAIN, made_from: int | None = None
    ) -> Deployed:
        """The rule has a text again that it had at some time."""
        what = f"return {rule} to an earlier text"
        return self._change(what, lambda base: base.with_earlier(rule, text), policy, made_from)

    def return_to(self, number: int, policy: Policy = Policy.DRAIN) -> Deployed:
        """All texts and modes are again those of an earlier deployment."""
        base = self.deployments.get(number).base
        return self._change(f"return to {number}", lambda _: base, policy, None)

    # ------------------------------------------------------------------------------------ start

    def start(self, files: Mapping[str, str]) -> Deployed:
        """What runs when a program is started with these files (texts by path)."""
        for _ in range(_START_ATTEMPTS):
            try:
                return self._start(files)
            except StaleDeployment:  # another program is started at the same moment
                continue
        return self._start(files)

    def _start(self, files: Mapping[str, str]) -> Deployed:
        latest, known = self.deployments.latest(), self.deployments.files()
        now = {path: text_id(text) for path, text in files.items()}
        base = RuleBase() if latest is None else latest.base
        for path in known.keys() - now.keys():
            base = base.without_text(path)
        for path, text in files.items():
            if known.get(path) != now[path]:
                base = base.with_text(path, text)
        if latest is not None and base == latest.base:
            if now != known:
                self.deployments.remember(files)
            rules = self.deployments.rules(latest.number)
            return Deployed(latest.number, base, rules, changed=False)
        rules = self._checked(base)
        made_from = 0 if latest is None else latest.number
        number = self.deployments.record("start", base, Policy.DRAIN, made_from, files)
        self.deployments.keep(number, rules)
        return Deployed(number, base, rules)

    # ------------------------------------------------------------------------------------ parts

    def _change(
        self,
        what: str,
        edit: Edit,
        policy: Policy,
        made_from: int | None,
        outside: Collection[str] = (),
    ) -> Deployed:
        latest = self.latest()
        if made_from not in (None, latest.number):
            raise StaleDeployment(latest.number)
        base = edit(latest.base)
        if base == latest.base:
            rules = self.deployments.rules(latest.number)
            return Deployed(latest.number, base, rules, base, rules, changed=False)
        rules = self._checked(base)
        _check_sources(rules, outside)
        number = self.deployments.record(what, base, policy, latest.number)
        self.deployments.keep(number, rules)
        return Deployed(number, base, rules, latest.base, self._compiled(latest.number))

    def latest(self) -> Deployment:
        latest = self.deployments.latest()
        if latest is None:
            raise UsageError(
                f"no rules are deployed for {self.deployments.topic}: start `cep serve` or "
                "`cep run` with some and this store first"
            )
        return latest

    def _compiled(self, number: int) -> RuleSet | None:
        try:
            return self.deployments.rules(number)
        except RulesError:
            return None

    def _checked(self, base: RuleBase) -> RuleSet:
        rules = base.compiled()
        if self._topic is not None:
            check_partitioned(rules, self._topic)
        Fold(Running(rules, base.modes), "")  # whether the matcher can hold them
        return rules


def topic_of(log: Log) -> str:
    """Whose deployments are those of the log: its topic's, or its own."""
    if isinstance(log, TopicLog):
        return log.topic.name.partition("/")[0]
    return log.partitions[0]


def _check_sources(rules: RuleSet, outside: Collection[str]) -> None:
    """Who is not on this machine may not have files of it read, nor addresses called."""
    tables: list[Table] = [*rules.tables.values(), *rules.lists.values()]
    for table in tables:
        if table.source is not None and table.span.path in outside:
            raise UsageError(
                f"{table.name}: rows from a {table.source.kind} can be declared only in files that "
                "are deployed on the machine itself"
            )
