"""Crashes while messages gather, alerts end and people are reminded.

When a message is made, and so which detections it tells of together, depends on the wall clock,
which a crash moves.  What must not depend on it: the alerts, that each detection is told once to
each destination, in order, and that a message has the same bytes however often it is sent.
"""

from __future__ import annotations

import os
from collections import Counter

from sim_rules import ROW_KEYS, WINDOWS
from sim_scenarios import of_stream
from simulation import Outcome, run

EVERY_PLACE = os.environ.get("CEP_EVERY_PLACE") == "1"
ROUTES = (
    {"name": "rows", "match": {"rule": "silent"}, "batch": "2s"},
    {
        "name": "others",
        "to": ["soc", "desk"],
        "escalate": [{"after": "1s", "to": ["desk"]}],
        "resolve_after": "1h",
    },
)
GATHERED = of_stream(
    "messages that gather",
    WINDOWS + ROW_KEYS,
    seed=5,
    count=12,
    rows={"cards": [{"card": "a", "owner": "ann"}, {"card": "b", "owner": "bob"}]},
    plans={"soc": ("500", "200"), "desk": ("lost", "503", "200")},
    default=("soc",),
    routes=ROUTES,
    webhook={"storm": {"messages": 2, "per": "3s"}, "resolved": True},
)

_TOLD = """
    select destination, alert_id, detection_id, sequence, state from delivery
    where kind = 'detection'
    union all
    select destination, dd.alert_id, dd.detection_id, sequence, state
    from delivery_detection dd join delivery on id = dd.delivery_id
"""


def faults(found: Outcome, calm: Outcome) -> list[str]:
    said = [
        f"{name} differs"
        for name in ("detection", "resolution", "alert_detection")
        if found.tables[name] != calm.tables[name]
    ]
    episodes = [[row[:3] + row[5:] for row in one.tables["alert"]] for one in (found, calm)]
    if episodes[0] != episodes[1]:
        said.append("alerts differ")
    told = Counter((row[0], row[2]) for row in found.rows(_TOLD))
    said += [f"{place} was told {times} times" for place, times in told.items() if times > 1]
    if told.keys() != {(row[0], row[2]) for row in calm.rows(_TOLD)}:
        said.append("others were told")
    said += [f"{row} is not finished" for row in found.rows(_TOLD) if row[4] != "delivered"]
    bodies: dict[tuple[str, str], set[bytes]] = {}
    for message in found.messages:
        bodies.setdefault((message.destination, message.id), set()).add(message.body)
    return said + [f"{key} has several bodies" for key, all_ in bodies.items() if len(all_) > 1]


def test_a_crash_anywhere_gathers_and_tells_each_detection_once() -> None:
    calm = run(GATHERED)
    assert faults(calm, calm) == []
    kinds = {row[0] for row in calm.rows("select distinct kind from delivery")}
    assert kinds == {"detection", "gathered", "resolved", "escalation"}
    (effects,) = calm.effects
    said = []
    places = sorted(effects.lasting)
    for place in places if EVERY_PLACE else places[::4]:
        found = run(GATHERED, crashes=[place])
        said += [f"crash at {place}: {one}" for one in faults(found, calm)]
    assert said == []
