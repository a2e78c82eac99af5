"""Deployments in the store: recorded by whoever deploys, read by engines and listings.

Texts are kept once, by their hash, and never changed.  A deployment is recorded only if the newest
is still the one it was made from, so two people who deploy at once do not undo one another's work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import orjson
from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from cep import limits
from cep.deployment.base import Mode, RuleBase
from cep.deployment.rollout import Deployment
from cep.deployment.switch import Policy
from cep.errors import StaleDeployment, StoreError, UsageError
from cep.ports import ActivationRow, Clock, SystemClock
from cep.store.failures import named_errors
from cep.store.store import insert_new
from cep.store.tables import activation, deployment, rule_file, rule_text
from dsl.model import RuleSet

_COMPILED_MAX = 4  # deployments whose rules are kept compiled


class SqlDeployments:
    """Those of one topic, or of the log of a file.  `compiled` are rules by number, known already.

    May be used from several threads.
    """

    def __init__(
        self,
        engine: Engine,
        topic: str,
        compiled: Mapping[int, RuleSet] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.topic = topic
        self._engine = engine
        self._compiled = dict(compiled or {})
        self._clock = clock or SystemClock()
        self._newest = 0
        self._looked_ms: int | None = None

    # ------------------------------------------------------------------------------------ reads

    def newest(self, now_ms: int) -> int:
        looked = self._looked_ms
        if looked is None or not 0 <= now_ms - looked < limits.DEPLOYMENTS_LOOK_MS:
            self._looked_ms = now_ms
            with named_errors("read"), self._engine.connect() as connection:
                connection.execution_options(read_only=True)
                self._newest = _newest(connection, self.topic)
        return self._newest

    def latest(self) -> Deployment | None:
        """The newest one, as of now."""
        found = self.listed(limit=1)
        return found[0] if found else None

    def listed(self, before: int | None = None, limit: int = 100) -> list[Deployment]:
        """The newest first; `before` a number."""
        query = select(deployment).where(deployment.c.topic == self.topic)
        if before is not None:
            query = query.where(deployment.c.number < before)
        with named_errors("read"), self._engine.connect() as connection:
            connection.execution_options(read_only=True)
            rows = connection.execute(query.order_by(deployment.c.number.desc()).limit(limit)).all()
            return [_deployment(connection, row) for row in rows]

    def after(self, number: int, limit: int | None = None) -> Sequence[Deployment]:
        query = select(deployment).where(
            deployment.c.topic == self.topic, deployment.c.number > number
        )
        with named_errors("read"), self._engine.connect() as connection:
            connection.execution_options(read_only=True)
            rows = connection.execute(query.order_by(deployment.c.number).limit(limit)).all()
            return [_deployment(connection, row) for row in rows]

    def get(self, number: int) -> Deployment:
        """Raises UsageError when there is none of that number."""
        found = self.listed(before=number + 1, limit=1)
        if not found or found[0].number != number:
            raise UsageError(f"there is no deployment {number} of {self.topic}")
        return found[0]

    def rules(self, number: int) -> RuleSet:
        rules = self._compiled.get(number)
        if rules is None:
            rules = self.get(number).base.compiled()
            self.keep(number, rules)
        return rules

    def keep(self, number: int, rules: RuleSet) -> None:
        """The rules of a deployment, which somebody has compiled."""
        self._compiled[number] = rules
        for old in sorted(self._compiled)[:-_COMPILED_MAX]:
            self._compiled.pop(old, None)

    def activations(self, partition: str) -> Sequence[ActivationRow]:
        return [row for _, row in self._activations(activation.c.partition == partition)]

    def placed(self, number: int) -> dict[str, ActivationRow]:
        """Where each partition took a deployment up."""
        return dict(self._activations(activation.c.deployment == number))

    def _activations(self, wanted: ColumnElement[bool]) -> list[tuple[str, ActivationRow]]:
        query = select(activation).where(wanted)
        ordered = query.order_by(activation.c.partition, activation.c.deployment)
        with named_errors("read"), self._engine.connect() as connection:
            connection.execution_options(read_only=True)
            rows = connection.execute(ordered).all()
        return [(name, ActivationRow(*rest)) for name, *rest in rows]

    # ------------------------------------------------------------------------------------ writes

    def record(
        self,
        what: str,
        base: RuleBase,
        policy: Policy,
        made_from: int,
        files: Mapping[str, str] | None = None,
    ) -> int:
        """The number of the new deployment; the one it was made from must still be the newest.

        `files` are texts by path, to be remembered as those of a start.  Raises StaleDeployment.
        """
        try:
            with named_errors("deploy"), self._engine.begin() as connection:
                newest = _newest(connection, self.topic)
                if newest != made_from:
                    raise StaleDeployment(newest)
                number = self._record(connection, what, base, policy, made_from)
                if files is not None:
                    _remember(connection, self.topic, files)
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):  # PostgreSQL lets two see one newest
                raise StaleDeployment(made_from + 1) from None
            raise
        self._looked_ms = None
        return number

    def _record(
        self, connection: Connection, what: str, base: RuleBase, policy: Policy, made_from: int
    ) -> int:
        texts = [(name, _keep(connection, text)) for name, text in base.texts.items()]
        done = connection.execute(
            insert(deployment).values(
                topic=self.topic,
                made_from=made_from,
                what=what,
                texts=orjson.dumps(texts).decode(),
                modes=orjson.dumps(dict(base.modes)).decode(),
                policy=str(policy),
                recorded_ms=self._clock.now_ms(),
            )
        )
        assert done.inserted_primary_key is not None
        return int(done.inserted_primary_key[0])

    def files(self) -> dict[str, str]:
        """The hashes of the texts of files, by path, with which a program was last started."""
        query = select(rule_file.c.path, rule_file.c.text).where(rule_file.c.topic == self.topic)
        with named_errors("read"), self._engine.connect() as connection:
            connection.execution_options(read_only=True)
            return {row[0]: row[1] for row in connection.execute(query)}

    def remember(self, files: Mapping[str, str]) -> None:
        """These are the files, with their texts, that a program is started with."""
        with named_errors("deploy"), self._engine.begin() as connection:
            _remember(connection, self.topic, files)


def topics(engine: Engine) -> list[str]:
    """Those for which something was deployed."""
    query = select(deployment.c.topic).distinct().order_by(deployment.c.topic)
    with named_errors("read"), engine.connect() as connection:
        connection.execution_options(read_only=True)
        return list(connection.execute(query).scalars())


def text_id(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _newest(connection: Connection, topic: str) -> int:
    query = select(func.max(deployment.c.number)).where(deployment.c.topic == topic)
    return connection.execute(query).scalar_one() or 0


def _keep(connection: Connection, text: str) -> str:
    id_ = text_id(text)
    insert_new(connection, rule_text, [{"id": id_, "text": text}])
    return id_


def _remember(connection: Connection, topic: str, files: Mapping[str, str]) -> None:
    connection.execute(delete(rule_file).where(rule_file.c.topic == topic))
    insert_new(
        connection,
        rule_file,
        [{"topic": topic, "path": path, "text": text_id(text)} for path, text in files.items()],
    )


def _deployment(connection: Connection, row: Row[tuple[object, ...]]) -> Deployment:
    named = orjson.loads(row.texts)
    query = select(rule_text.c.id, rule_text.c.text).where(
        rule_text.c.id.in_([id_ for _, id_ in named])
    )
    texts = {row[0]: row[1] for row in connection.execute(query)}
    modes = {rule: Mode(mode) for rule, mode in orjson.loads(row.modes).items()}
    base = RuleBase({name: texts[id_] for name, id_ in named}, modes)
    return Deployment(row.number, row.what, base, Policy(row.policy), row.recorded_ms)
