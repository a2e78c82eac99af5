"""The tree of errors the engine stops with.

    CepError                     carries the exit code of the command line
    ├── UsageError           2   the request makes no sense: no such file, a bad URL
    ├── SourceError          2   the log cannot be read: gone, unreadable, not the one we knew
    │   └── SourceGone       2   its server does not answer at the moment
    ├── StoreError           3   the store cannot be used: gone, disk full, locked
    │   ├── StoreGone        3   its server does not answer at the moment
    │   └── StaleWriter      3   another engine took the partition over
    ├── RowsError            2   rows do not fit the table they are for
    ├── StaleDeployment      2   somebody else has deployed meanwhile
    ├── Busy                 2   too much is asked for at once
    ├── WorkerError          4   a worker process dies again and again, or stopped for a reason of
    │                            its own, whose exit code it then carries
    └── RulesError           1   the rule files do not compile

Bad events are no errors: they become dead letters.
"""

from collections.abc import Mapping, Sequence


class CepError(Exception):
    """Stops the program with `exit_code`; its text says what happened and what to do."""

    exit_code = 2


class UsageError(CepError):
    exit_code = 2


class SourceError(CepError):
    exit_code = 2


class Gone(CepError):
    """It may be there again when it is tried again."""


class SourceGone(SourceError, Gone):
    """The server of the log."""


class RowsError(CepError):
    """`problems` has a sentence for each row that does not fit."""

    exit_code = 2

    def __init__(self, message: str, problems: Sequence[str]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class StaleDeployment(CepError):
    """`newest` is the number of the deployment that came in between."""

    exit_code = 2

    def __init__(self, newest: int) -> None:
        super().__init__(f"deployment {newest} was made meanwhile: look at it, then try again")
        self.newest = newest


class Busy(CepError):
    exit_code = 2


class StoreError(CepError):
    exit_code = 3


class StoreGone(StoreError, Gone):
    """The server of the store."""


class StaleWriter(StoreError):
    """Another writer acquired the partition: this one must stop without writing."""


class RulesError(CepError):
    """`report` holds every diagnostic of every file, ready to print; `diagnostics`, as JSON."""

    exit_code = 1

    def __init__(self, report: str, diagnostics: Sequence[Mapping[str, object]] = ()) -> None:
        super().__init__(report)
        self.diagnostics = tuple(diagnostics)
        self.report = report


class WorkerError(CepError):
    """What a worker process stopped with."""

    def __init__(self, message: str, exit_code: int = 4) -> None:
        super().__init__(message)
        self.exit_code = exit_code
