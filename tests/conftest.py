"""Shared by all tests: in continuous integration a skipped test is a failed one.

A test that needs redis-server or PostgreSQL must fail there when the service is missing, so that
nothing passes by being left out; elsewhere pytest's usual meaning of a skip holds.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI: {report.longrepr}"
    return report
