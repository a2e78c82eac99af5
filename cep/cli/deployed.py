"""What commands share that start with rules, or deploy some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from cep.cli.output import operator, say
from cep.errors import UsageError

if TYPE_CHECKING:
    import dsl
    from cep.deployment.deployer import Deployer
    from cep.deployment.rollout import Deployment
    from cep.ports import Log
    from cep.store.store import SqlStore
    from cep.workers.job import Job


def deployer(store: SqlStore, log: Log) -> Deployer:
    """Of the rules of a log."""
    from cep.deployment.deployer import Deployer, topic_of
    from cep.log.publishing import TopicLog
    from cep.store.deployments import SqlDeployments

    topic = log.topic if isinstance(log, TopicLog) else None
    return Deployer(SqlDeployments(store.engine, topic_of(log)), topic)


@contextmanager
def deploying(url: str, topic: str | None) -> Iterator[Deployer]:
    """Of the rules in a store, for `topic` or, when None, for the only one there is."""
    from cep.deployment.deployer import Deployer
    from cep.log.topics import known
    from cep.store.deployments import SqlDeployments, topics
    from cep.store.store import open_store

    store = open_store(url)
    there = topics(store.engine)
    if not there:
        raise UsageError(f"no rules run on {url} yet: start `cep serve` or `cep run` with some")
    name = topic or there[0]
    if name not in there or (topic is None and len(there) > 1):
        raise UsageError(f"say which rules are meant: --topic {' or '.join(there)}")
    with store.engine.connect() as connection:
        connection.execution_options(read_only=True)
        declared = known(connection, name)
    deployments = SqlDeployments(store.engine, name)
    try:
        deployer = Deployer(deployments, declared)
        before = deployer.latest().number
        yield deployer
        _audit(store, deployments.after(before))
    finally:
        store.close()


def _audit(store: SqlStore, made: Sequence[Deployment]) -> None:
    """Deployments of the command line are in the audit, beside those of the API."""
    from api.access.audit import record

    for one in made:
        said = {"what": one.what}
        record(
            store.engine, one.recorded_ms, operator(), "deploy", f"deployments/{one.number}", said
        )


def started(job: Job, store: SqlStore, log: Log, loaded: dsl.Loaded) -> Job:
    """The job with the rules that are deployed, once the files that have changed are."""
    from cep.deployment.deployer import topic_of
    from cep.load import texts

    found = deployer(store, log).start(texts(loaded))
    given = set(loaded.sources)
    later = [name for name in found.base.texts if name not in given]
    if later:
        say(f"deployed since the start with these files: {', '.join(later)}")
    return replace(job, rules=found.rules, topic=topic_of(log), deployment=found.number)
