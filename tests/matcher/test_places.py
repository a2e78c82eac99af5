"""Places put derived events between the records they come from and the next ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dsl.limits import STRATA_MAX
from matcher import places
from matcher.limits import DERIVED_PER_RECORD_MAX

RECORDS = st.integers(0, 2**45 - 2)
SERIALS = st.integers(1, 2**50)


def of_record(position: int) -> int:
    return int(places.of_records(np.array([position], np.int64))[0])


@given(RECORDS, st.integers(1, DERIVED_PER_RECORD_MAX))
def test_a_derived_event_is_behind_its_record_and_before_the_next(record: int, n: int) -> None:
    place = places.of_ordinal(record, n)
    assert of_record(record) < place < of_record(record + 1)
    assert places.is_derived(place) and not places.is_derived(of_record(record))
    assert places.record_of(place) == record
    assert places.phase_of(place) == places.phase_of(of_record(record)) == 0


@given(RECORDS, st.integers(0, STRATA_MAX - 1), SERIALS)
def test_those_of_deadlines_are_behind_everything_and_those_before_it_ahead(
    record: int, stratum: int, serial: int
) -> None:
    after, before = (places.of_serial(phase, stratum, serial) for phase in (1, -1))
    assert -(2**63) < before < 0 <= of_record(record) < after < 2**63
    assert (places.phase_of(after), places.phase_of(before)) == (1, -1)
    assert places.is_derived(after) and places.is_derived(before)


@given(st.integers(0, STRATA_MAX - 2), SERIALS, SERIALS, st.sampled_from((-1, 1)))
def test_lower_strata_come_first(stratum: int, one: int, other: int, phase: int) -> None:
    lower, higher = (places.of_serial(phase, stratum + k, n) for k, n in enumerate((one, other)))
    assert lower < higher


@given(st.lists(st.tuples(RECORDS, st.integers(0, STRATA_MAX - 1), SERIALS), max_size=5))
def test_many_records_are_found_as_one_by_one(drawn: list[tuple[int, int, int]]) -> None:
    some = [of_record(record) for record, _, _ in drawn]
    some += [places.of_serial(phase, *late) for _, *late in drawn for phase in (1, -1)]
    expected = [-1 if places.phase_of(place) else places.record_of(place) for place in some]
    assert places.records_of(np.array(some, np.int64)).tolist() == expected
