"""Where an event stands among all others, as one int64: derived events have places too.

    canonical order of events = order of (event time, place)

    record number p of the log                                       p << ORDINAL_BITS
    n-th event derived, be it through others, from matches of it     (p << ORDINAL_BITS) + n
    derived from a match decided before or after its time's events   beyond those, by stratum
                                                                     and serial number

So a derived event comes right after the record that completed its match and before the next one,
and those of deadlines after every event of that time.  Within one place in the log those of lower
strata come first.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from matcher.limits import DERIVED_PER_RECORD_MAX

ORDINAL_BITS = 16
assert DERIVED_PER_RECORD_MAX < 2**ORDINAL_BITS

_ORDINALS = 2**ORDINAL_BITS - 1
BEYOND = 2**61  # so that every place is below what the kernels take for no limit
_STRATUM_BITS = 56  # below: the serial number; above: at most `dsl.limits.STRATA_MAX` strata

Ints = NDArray[np.int64]


def of_records(positions: Ints) -> Ints:
    places: Ints = positions << ORDINAL_BITS
    return places


def of_ordinal(record: int, ordinal: int) -> int:
    return (record << ORDINAL_BITS) + ordinal


def of_serial(phase: int, stratum: int, serial: int) -> int:
    """`phase` is -1 before and 1 after the events of the time."""
    return phase * BEYOND + (stratum << _STRATUM_BITS) + serial


def phase_of(place: int) -> int:
    """-1 before, 0 among and 1 after the records of its time."""
    return (place >= BEYOND) - (place < 0)


def record_of(place: int) -> int:
    """The number of the record at or behind which a place of phase 0 is."""
    return place >> ORDINAL_BITS


def records_of(places: Ints) -> Ints:
    """`record_of` each place; -1 for those of other phases."""
    records: Ints = np.where((places >= BEYOND) | (places < 0), -1, places >> ORDINAL_BITS)
    return records


def is_derived(place: int) -> bool:
    return phase_of(place) != 0 or place & _ORDINALS != 0


def are_records(some: Iterable[int]) -> bool:
    """Whether none of the places is that of a derived event: fast, for the many that are not."""
    bits = 0
    for place in some:
        bits |= place
    return 0 <= bits < BEYOND and bits & _ORDINALS == 0
