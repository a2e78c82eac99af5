"""Quiet logs, a secret for simulated receivers that do not look at it, and state in small bits."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator

import pytest
import structlog

from cep import limits


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + base64.b64encode(b"x" * 32).decode())
    monkeypatch.setattr(limits, "PAGES_MADE_BYTES", 0)  # one page in a turn
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)
