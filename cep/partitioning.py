"""Which rules can be run on a topic of several partitions: those whose key decides the partition.

All events a rule puts together must lie in one partition.  They do when some part of its key is, in
every event type the rule reads, the very field that the topic is partitioned by.  The same holds
for the facts it reads and for what `suppress` remembers.  Events that rules emit stay in their
partition; one that a rule reads must carry the key on in the field of that name.
"""

from __future__ import annotations

from collections.abc import Iterator

from cep.errors import UsageError
from cep.log.publishing import TopicLog
from cep.log.topics import Topic
from cep.ports import Log
from dsl.model import Derived, Expr, FieldRef, KeyRef, Kind, Path, Rule, RuleSet
from matcher.schema import derived_read, leaves

_UNEQUAL_TEXTS = (Kind.DECIMAL, Kind.TIMESTAMP)  # one value can be written in many ways


def check_log(rules: RuleSet, log: Log) -> None:
    """`check_partitioned` for the topic of a log."""
    if isinstance(log, TopicLog):
        check_partitioned(rules, log.topic)


def check_partitioned(rules: RuleSet, topic: Topic) -> None:
    """Raises UsageError, which names every rule that cannot be run on the topic, and why."""
    if topic.partitions == 1:
        return
    if not topic.key:
        raise UsageError(
            f"{topic.name} has {topic.partitions} partitions, and the field whose value decides is "
            "not known: say it (?key=FIELD), or name one of them"
        )
    keys = _Keys(rules, tuple(topic.key.split(".")))
    refused = [
        f"  rule {rule.name} ({_by(rule)}): {'; '.join(reasons)}"
        for rule in rules.rules
        if (reasons := list(keys.refusals(rule)))
    ]
    if refused:
        raise UsageError(
            f"these rules cannot be run on {topic}, as what belongs together for them is in "
            "several partitions:\n" + "\n".join(refused)
        )


def _by(rule: Rule) -> str:
    return f"by {', '.join(key.name for key in rule.keys)}" if rule.keys else "no key"


class _Keys:
    """Where the partition's key is: in event types, rules' keys, facts."""

    def __init__(self, rules: RuleSet, source: tuple[str, ...]) -> None:
        self._rules = rules
        self._source = source
        self._carried = {
            (event.name, leaf.path)
            for event in rules.events.values()
            for leaf in leaves(event)
            if leaf.source == source and leaf.type.kind not in _UNEQUAL_TEXTS
        }

    def refusals(self, rule: Rule) -> Iterator[str]:
        name = ".".join(self._source)
        parts = self._parts(rule)
        if not parts:
            where = ", ".join(sorted(self._events_without(rule)))
            yield (
                f"its key needs the field {name}, in {where}"
                if where
                else (f"its key needs the field {name} in the same place for all its events")
            )
        if rule.key_table is not None:
            yield f"its keys come from {rule.key_table}, which every partition would have whole"
        for event, ref in derived_read(rule):
            if ref.derived is not None and not self._together(ref.derived, event):
                yield f"the fact {event}.{'.'.join(ref.path)} is not kept by {name}"
        if rule.suppress is not None and not any(
            self._is_key(expr, rule, parts) for expr in rule.suppress.by
        ):
            yield f"it suppresses by something else than {name}"

    def _parts(self, rule: Rule) -> set[int]:
        """The parts of the rule's key that decide the partition, for all its events."""
        return {
            part
            for part in range(len(rule.keys))
            if all(self._carries(event, key[part]) for event, key in _keyed(rule))
        }

    def _events_without(self, rule: Rule) -> set[str]:
        return {
            event
            for event, key in _keyed(rule)
            if not any(self._carries(event, path) for path in key)
        }

    def _carries(self, event: str, path: Path) -> bool:
        """Whether all events of this type have the key of their partition at `path`."""
        if (event, path) not in self._carried:
            return False
        for rule in self._rules.rules:  # rules feed one another without circles
            for emit in rule.emits:
                if emit.event == event:
                    value = dict(emit.values).get(path)
                    if value is None or not self._is_key(value, rule, self._parts(rule)):
                        return False
        return True

    def _is_key(self, expr: Expr, rule: Rule, parts: set[int]) -> bool:
        match expr:
            case KeyRef(index=index):
                return index in parts
            case FieldRef(step=int(step), path=path, derived=None):
                return self._carries(rule.steps[step].event, path)
        return False

    def _together(self, fact: Derived, reader: str) -> bool:
        """Whether a fact is about events of one partition, the reading event's."""
        return any(
            self._is_field(of_event, fact.event) and self._is_field(of_reader, reader)
            for of_event, of_reader in zip(fact.key, fact.reads, strict=True)
        )

    def _is_field(self, expr: Expr, event: str) -> bool:
        return (
            isinstance(expr, FieldRef) and expr.derived is None and self._carries(event, expr.path)
        )


def _keyed(rule: Rule) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """(event type, where it has the key) of everything the rule looks at."""
    yield from ((step.event, step.key) for step in rule.steps)
    for symbol in (*rule.alphabet, *rule.policy.cancel, *rule.policy.resolve):
        yield symbol.event, symbol.key
