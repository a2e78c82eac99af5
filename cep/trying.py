"""The inline tests of texts from outside, run apart from the engine (`cep.apart`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import dsl
from cep import limits
from cep.apart import run_apart
from cep.load import required


@dataclass(frozen=True, slots=True)
class FailedAt:
    """An expectation that did not hold: where, and what was found, with the nearest miss."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One test; it has passed when nothing failed."""

    rule: str
    title: str | None
    path: str
    line: int
    failures: tuple[FailedAt, ...]


def try_tests(texts: Mapping[str, str], path: str) -> list[Tried]:
    """The tests that text `path` declares, with all of `texts` for its rules.

    Raises RulesError for texts that do not compile, UsageError when it takes too long.
    """
    return run_apart(
        _run,
        dict(texts),
        path,
        seconds_max=limits.TESTS_SECONDS_MAX,
        bytes_max=limits.TESTS_MEMORY_BYTES_MAX,
    )


def _run(texts: Mapping[str, str], path: str) -> list[Tried]:
    from cep.testing import run_test

    loaded = dsl.load_sources([dsl.Source(*named) for named in texts.items()])
    rules, source = required(loaded), loaded.sources[path]

    def line(offset: int) -> int:
        return source.line_column(offset)[0]

    return [
        Tried(
            test.rule,
            test.title,
            test.span.path,
            line(test.span.start),
            tuple(
                FailedAt(line(failure.offset), failure.text)
                for failure in run_test(rules, test).failures
            ),
        )
        for test in rules.tests
        if test.span.path == path
    ]
