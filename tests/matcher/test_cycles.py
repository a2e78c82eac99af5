"""The search for reference cycles rests while a step runs, and is as before behind it."""

from __future__ import annotations

import gc

import pytest

from matcher.cycles import no_search_for_cycles


def test_it_rests_inside_and_goes_on_behind() -> None:
    assert gc.isenabled()
    with no_search_for_cycles():
        assert not gc.isenabled()
        with no_search_for_cycles():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_goes_on_when_a_step_fails() -> None:
    with pytest.raises(ValueError, match="bad"), no_search_for_cycles():
        raise ValueError("bad")
    assert gc.isenabled()


def test_it_stays_off_for_a_program_that_has_it_off() -> None:
    gc.disable()
    try:
        with no_search_for_cycles():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
