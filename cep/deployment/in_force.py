"""The rules that an engine runs: those it was given, or those that were deployed, as they change.

The part of the engine's loop that takes deployments up; what it gives back is committed by the
loop, at once.  A deployment that cannot be run is refused, which is recorded as its activation is:
nothing changes then.  One for which the log cannot be read now waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from cep import limits
from cep.deployment.rollout import Deployment, Deployments, Rollout
from cep.deployment.running import Running, Saved
from cep.deployment.switch import switched
from cep.errors import CepError, SourceError, StoreError, UsageError
from cep.fold import Fold
from cep.partitioning import check_log
from cep.ports import ActivationRow, Log, Records
from cep.tables.reading import Source
from cep.tables.sources import load, sources_of
from dsl.model import RuleSet


class TakenUp(NamedTuple):
    """The fold that goes on, and what is to be committed with its state."""

    fold: Fold
    activation: ActivationRow
    notices: tuple[str, ...]


class RulesInForce:
    """Of one partition.  Without `deployments` they are `rules` for ever.

    `given` are sources of tables in place of those in the texts; `sources` are all there are now.
    """

    def __init__(
        self,
        rules: RuleSet,
        deployments: Deployments | None,
        log: Log,
        partition: str,
        given: Mapping[str, Source],
    ) -> None:
        self.sources = sources_of(rules, given)
        self._rules = rules
        self._rollout = None if deployments is None else Rollout(deployments, partition)
        self._log = log
        self._partition = partition
        self._given = given

    def begin(self, pages: Mapping[str, bytes], now_ms: int) -> Running:
        """What the state of the pages belongs to; see `Rollout.begin`."""
        if self._rollout is None:
            return Running(self._rules)
        running = self._rollout.begin(pages, now_ms)
        self.sources = sources_of(running.in_motion, self._given)
        return running

    def begun(self, fold: Fold, pages: Mapping[str, bytes]) -> list[ActivationRow]:
        """What is to be committed when the rules have begun that the pages do not know of."""
        if self._rollout is None or fold.running.saved == Saved.of(pages):
            return []
        fold.adopt(fold.running.saved.page())
        return [_activation(fold, fold.running.deployment)]

    def room(self, position: int) -> int:
        """How many records may be read at once before the rules change."""
        if self._rollout is None:
            return limits.BATCH_RECORDS_MAX
        return self._rollout.room(position)

    def take_up(
        self,
        fold: Fold,
        pages: Callable[[], Mapping[str, bytes]],
        now_ms: int,
        say: Callable[[str], None],
    ) -> TakenUp | None:
        """Changes the rules if that is due; `pages` gives those of the last commit.

        Call it again until there is none, and commit each; also after a StoreError, which says that
        the store could not be read.
        """
        rollout = self._rollout
        deployment = None if rollout is None else rollout.due(fold.position, now_ms)
        if rollout is None or deployment is None:
            return None
        name = f"deployment {deployment.number} ({deployment.what})"
        try:
            taken = self._switched(rollout.running(deployment), fold, pages(), deployment, say)
        except SourceError as error:
            rollout.postpone(deployment, now_ms)
            say(f"{name} waits: {error}")
            return None
        except StoreError:
            rollout.postpone(deployment, now_ms)
            raise
        except CepError as error:
            refused = _activation(fold, deployment.number)._replace(refused=str(error))
            return TakenUp(fold, refused, (f"{name} is refused: {error}",))
        said = f"{name}: {self._partition} from record {fold.position} on"
        return taken._replace(notices=(said, *taken.notices))

    def _switched(
        self,
        to: Running,
        fold: Fold,
        pages: Mapping[str, bytes],
        deployment: Deployment,
        say: Callable[[str], None],
    ) -> TakenUp:
        check_log(to.rules, self._log)
        sources = sources_of(to.in_motion, self._given)

        def read(position: int, max_records: int) -> Records | None:
            return self._log.read(self._partition, position, max_records)

        def load_new(new: Fold) -> None:
            """The others keep the rows they have; a missing source is no reason to wait."""
            unread = {name: at for name, at in sources.items() if not new.tables.was_loaded(name)}
            try:
                load(new, unread, say)
            except SourceError as error:
                raise UsageError(str(error)) from error

        done = switched(fold, pages, to, deployment.policy, read, sources, load_new)
        self.sources = sources
        return TakenUp(done.fold, done.activation, done.notices)


def _activation(fold: Fold, number: int) -> ActivationRow:
    return ActivationRow(number, fold.position, fold.watermark_ms)
