"""Rules over what other rules emit: the strata of a rule set, one matcher each, step by step.

    matches of stratum k = matches in (the events + everything strata below k made of theirs)

Each step goes through the strata in order, so a derived event is seen in the step that made it, at
its place (`matcher.places`) among the others.  Like a matcher's, the matches depend on the events
alone, not on how they were cut into batches, nor on a snapshot in between.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np

from dsl.model import Expr, Rule
from dsl.strata import strata
from matcher import places
from matcher.batch import Batch, BytesChunk, RawLines
from matcher.compact import CompactLane
from matcher.lane import Lane
from matcher.limits import DERIVED_PER_RECORD_MAX
from matcher.lineage import DerivedEvent, Lineage, Moment, Placed, parted, seen_as_of, shown
from matcher.lookup.reference_data import ReferenceData
from matcher.lookup.table import Table
from matcher.matcher import NOTHING, Match, Matcher, Resolution
from matcher.page_data import PageData, all_made
from matcher.pairs import PairLane
from matcher.schema import Schema, leaves
from matcher.storage import nulls, to_storage
from matcher.strings import Strings
from matcher.windows import WindowLane

PAGE = "strata"
RULE_PREFIX = "rule/"
_STRATUM_SIGN = "/@"


class Told(Protocol):
    """What the caller makes of a match."""

    @property
    def derived(self) -> Sequence[DerivedEvent]: ...


T = TypeVar("T", bound=Told)


class Strata:
    """All rules over one partition; not thread safe.  The parameters are those of `Matcher`."""

    def __init__(
        self,
        rules: Sequence[Rule],
        schema: Schema,
        strings: Strings,
        also: Mapping[str, Sequence[Expr]] = NOTHING,
        tables: ReferenceData | None = None,
    ) -> None:
        self._schema = schema
        self._strings = strings
        self._tables = tables
        levels = strata(rules)
        alone = len(levels) == 1
        self._levels = [_Stratum(level, schema, strings, also, tables, alone) for level in levels]
        self._serials = [0] * len(levels)
        self._changed = not alone
        self._refused = 0
        self.resolutions: list[Resolution] = []
        """What the last `advance` resolved, in order."""

    def advance(self, batch: Batch, watermark_ms: int, tell: Callable[[Match], T]) -> list[T]:
        """What `tell` makes of each match that these events and this time decide, in order.

        It is called stratum by stratum, for each rule in order; its derived events are seen by the
        strata above.
        """
        records = replace(batch, position=places.of_records(batch.position), as_of=batch.seen_as_of)
        if len(self._levels) == 1:
            return self._advance_alone(records, watermark_ms, tell)
        derived: list[Batch] = []
        lineage = Lineage()
        told: list[tuple[tuple[Moment, int], T]] = []
        resolved: list[tuple[tuple[int, int, int, int], Resolution]] = []
        for number, level in enumerate(self._levels):
            made: list[Placed] = []
            for match in level.matcher.advance(level.sees(records, derived), watermark_ms):
                moment, root = lineage.of(match)
                found = self._seeing(shown(match))
                outcome = tell(found)
                told.append(((moment, number), outcome))
                if outcome.derived and number + 1 < len(self._levels):
                    emitted = _Emitted(outcome.derived, moment, number, root, seen_as_of(found))
                    made += self._placed(emitted, lineage)
            for over in level.matcher.resolutions:
                order = (over.at_ms, over.phase, over.position, number)
                resolved.append((order, lineage.resolved(over)))
            if made:
                derived.append(self._batch(made))
        self._changed = self._changed or len(batch) > 0
        told.sort(key=itemgetter(0))
        resolved.sort(key=itemgetter(0))
        self.resolutions = [resolution for _, resolution in resolved]
        return [outcome for _, outcome in told]

    def _advance_alone(
        self, records: Batch, watermark_ms: int, tell: Callable[[Match], T]
    ) -> list[T]:
        """`advance` of one stratum: no rule sees what another emits, so nothing gets a place."""
        matcher = self._levels[0].matcher
        matches = matcher.advance(records, watermark_ms)
        if self._tables is not None:
            matches = list(map(self._seeing, matches))
        self.resolutions = list(map(Lineage().resolved, matcher.resolutions))
        return list(map(tell, matches))

    def follow(self, table: Table, at_ms: int, first: int | None = None) -> None:
        """See `Matcher.follow`."""
        for level in self._levels:
            level.matcher.follow(table, at_ms, first)

    def lane_of(self, rule: str) -> Lane | PairLane | WindowLane | CompactLane:
        """The state of one rule; raises KeyError."""
        (level,) = (level for level in self._levels if rule in level.rules)
        return level.matcher.lane_of(rule)

    # ------------------------------------------------------------------ state

    def snapshot(self) -> dict[str, bytes]:
        """Pages that changed since the last snapshot, by name; b"" when a page is gone."""
        return all_made(self.freeze())

    def freeze(self) -> dict[str, PageData]:
        """See `Matcher.freeze`."""
        pages: dict[str, PageData] = {}
        for number, level in enumerate(self._levels):
            for name, data in level.matcher.freeze().items():
                pages[_stored(name, number)] = data
        if self._changed:
            rows = [level.matcher.rows for level in self._levels]
            pages[PAGE] = msgspec.msgpack.encode((self._serials, self._known(), rows))
            self._changed = False
        return pages

    def restore(self, pages: Mapping[str, bytes]) -> list[str]:
        """Load the state that `snapshot` gave; rules without a page start empty.

        A rule whose stratum has changed finds what it shared with others in the pages of the old
        one.  Returns the names of pages that belong to nothing here.  Raises PageMismatch when a
        page belongs to another version of its rule.
        """
        known: dict[str, int] = {}
        if data := pages.get(PAGE):
            serials, known, rows = msgspec.msgpack.decode(data)
            self._serials = serials + self._serials[len(serials) :]
            for level, count in zip(self._levels, rows, strict=False):
                level.matcher.rows = count
        owned = {PAGE}
        for number, level in enumerate(self._levels):
            before = sorted({known.get(rule, 0) for rule in level.rules} - {number})
            own = {_unstored(name): name for name in _of_stratum(number, pages)}
            own |= {name: name for name in pages if _rule_of(name) in level.rules}
            others = [
                {_unstored(name): pages[name] for name in _of_stratum(stratum, pages)}
                for stratum in before
            ]
            unknown = level.matcher.restore({name: pages[at] for name, at in own.items()}, others)
            owned.update(own[name] for name in own.keys() - set(unknown))
        self._changed = known != self._known()
        return [name for name in pages if name not in owned]

    def _known(self) -> dict[str, int]:
        """The strata of rules, where they are not the lowest."""
        levels = enumerate(self._levels)
        return {rule: number for number, level in levels if number for rule in sorted(level.rules)}

    def resume(self, rows: int) -> None:
        """`rows` events were given before, some of which each stratum saw."""
        if len(self._levels) == 1:
            self._levels[0].matcher.rows = rows

    @property
    def oldest_seen(self) -> int | None:
        """The least log position as of which an event sees rows that a partial match holds."""
        oldest = (level.oldest_seen for level in self._levels)
        return min((position for position in oldest if position is not None), default=None)

    @property
    def oldest_looked_up(self) -> int | None:
        """The least log position as of which the condition of a window may still look rows up."""
        oldest = (level.matcher.oldest_looked_up for level in self._levels)
        return min((position for position in oldest if position is not None), default=None)

    @property
    def spans(self) -> dict[str, int | None]:
        """See `Matcher.spans`."""
        return {name: ms for level in self._levels for name, ms in level.matcher.spans.items()}

    def let_go(self) -> None:
        """See `Matcher.let_go`."""
        for level in self._levels:
            level.matcher.let_go()

    def runs(self, rules: Collection[str]) -> int:
        """The partial matches of these rules; after `let_go` none that time has passed."""
        counters = [each for level in self._levels for each in level.matcher.counters.items()]
        return sum(count.runs for name, count in counters if name in rules)

    def leave_uncounted(self, rules: Collection[str]) -> None:
        """What these rules lose is no part of `losses`."""
        for level in self._levels:
            level.matcher.uncounted = rules

    @property
    def losses(self) -> dict[str, int]:
        """The matchers' losses together; derived events refused count as capped."""
        total = {"capped": self._refused}
        for level in self._levels:
            for name, count in level.matcher.losses.items():
                total[name] = total.get(name, 0) + count
        return total

    @property
    def capped(self) -> dict[str, int]:
        """See `Matcher.capped`."""
        return {name: n for level in self._levels for name, n in level.matcher.capped.items()}

    # ------------------------------------------------------------------ parts

    def _seeing(self, found: Match) -> Match:
        """A match without events sees the rows there are when it is decided.

        Those of the place it counts from may have been let go of by then.
        """
        if found.positions or self._tables is None:
            return found
        return found._replace(by=self._tables.now)

    def _placed(self, emitted: _Emitted, lineage: Lineage) -> Iterator[Placed]:
        """The events of a match that some rule reads, each at its place."""
        at_ms, phase, record = emitted.moment
        for event in emitted.events:
            if event.event not in self._schema.event_index:
                continue
            ordinal = lineage.next(emitted.root)
            if ordinal > DERIVED_PER_RECORD_MAX:
                self._refused += 1
                continue
            if phase:
                self._serials[emitted.stratum] += 1
                serial = self._serials[emitted.stratum]
                place = places.of_serial(phase, emitted.stratum, serial)
            else:
                place = places.of_ordinal(record, ordinal)
            placed = Placed(place, at_ms, emitted.as_of, event)
            lineage.keep(placed, emitted.root)
            yield placed

    def _batch(self, made: Sequence[Placed]) -> Batch:
        schema = self._schema
        columns = [nulls(spec.type.kind, len(made)) for spec in schema.columns]
        types = [schema.event_index[placed.event.event] for placed in made]
        lines = [placed.line for placed in made]
        for row, (_, _, _, event) in enumerate(made):
            for leaf in leaves(schema.events[types[row]]):
                scalar = event.fields.get(leaf.path)
                if scalar is not None:
                    column = columns[schema.column(event.event, leaf.path)]
                    column[row] = to_storage(scalar, self._strings)
        ends = np.cumsum([len(line) for line in lines])
        starts = ends - [len(line) for line in lines]
        return Batch(
            np.array([placed.at_ms for placed in made], np.int64),
            np.array([placed.place for placed in made], np.int64),
            np.array(types, np.int16),
            columns,
            RawLines.of(BytesChunk(b"".join(lines)), starts, ends),
            np.array([placed.as_of for placed in made], np.int64),
        )


class _Emitted(NamedTuple):
    """The events of one match, decided at `moment`; they see the rows of tables `as_of` this."""

    events: Sequence[DerivedEvent]
    moment: Moment
    stratum: int
    root: int
    as_of: int


class _Stratum:
    """Rules that may all be moved at once, and the part of the schema that they read."""

    def __init__(
        self,
        rules: Sequence[Rule],
        schema: Schema,
        strings: Strings,
        also: Mapping[str, Sequence[Expr]],
        tables: ReferenceData | None,
        alone: bool,
    ) -> None:
        self.rules = {rule.name for rule in rules}
        self._alone = alone
        own = schema if alone else Schema.of({e.name: e for e in schema.events}, rules, also)
        self.matcher = Matcher(rules, own, strings, also=also, tables=tables, at_places=alone)
        self._types = np.full(len(schema.events), -1, np.int16)
        self._columns = [0] * len(own.columns)
        for event in own.events:
            self._types[schema.event_index[event.name]] = own.event_index[event.name]
            for leaf in leaves(event):
                column = own.column(event.name, leaf.path)
                self._columns[column] = schema.column(event.name, leaf.path)

    def sees(self, records: Batch, derived: Sequence[Batch]) -> Batch:
        """The events of the types that the rules read, in order."""
        if self._alone:
            return records
        parts = [self._own(part) for part in (records, *derived)]
        parts = [part for part in parts if len(part)] or parts[:1]
        whole = Batch.concat(parts)
        return whole if len(parts) == 1 else whole.take(np.lexsort((whole.position, whole.ts)))

    def _own(self, batch: Batch) -> Batch:
        types = self._types[batch.event_type]
        columns = [batch.columns[column] for column in self._columns]
        own = replace(batch, event_type=types, columns=columns)
        seen = types >= 0
        return own if seen.all() else own.take(np.flatnonzero(seen))

    @property
    def oldest_seen(self) -> int | None:
        held = self.matcher.held()
        derived_by_time = held[(held < 0) | (held >= places.BEYOND)]
        records = np.setdiff1d(held, derived_by_time) >> places.ORDINAL_BITS
        lines = self.matcher.lines(derived_by_time).values()
        return min([*records[:1].tolist(), *(parted(line)[1] for line in lines)], default=None)


def renamed(pages: Mapping[str, bytes], names: Mapping[str, str]) -> dict[str, bytes]:
    """The pages of a snapshot with the state of rules under other names."""
    found: dict[str, bytes] = {}
    for name, data in pages.items():
        rule = _rule_of(name)
        if rule in names:
            found[f"{RULE_PREFIX}{names[rule]}{name[len(RULE_PREFIX) + len(rule) :]}"] = data
        else:
            found[name] = data
    if data := found.get(PAGE, b""):
        serials, known, rows = msgspec.msgpack.decode(data)
        known = {names.get(rule, rule): number for rule, number in known.items()}
        found[PAGE] = msgspec.msgpack.encode((serials, known, rows))
    return found


def _stored(name: str, stratum: int) -> str:
    """The name of a page in the store: strata share rules' pages with nobody, and others may."""
    shared = stratum and not name.startswith(RULE_PREFIX)
    return f"{name}{_STRATUM_SIGN}{stratum}" if shared else name


def _unstored(name: str) -> str:
    return name if name.startswith(RULE_PREFIX) else name.partition(_STRATUM_SIGN)[0]


def _of_stratum(number: int, pages: Iterable[str]) -> list[str]:
    """The pages of what rules of a stratum share."""
    shared = (name for name in pages if name != PAGE and not name.startswith(RULE_PREFIX))
    return [name for name in shared if int(name.partition(_STRATUM_SIGN)[2] or 0) == number]


def _rule_of(name: str) -> str:
    """The rule whose page it is, if it is one's own."""
    return name.split("/")[1] if name.startswith(RULE_PREFIX) else ""
