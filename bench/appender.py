"""The producer of the latency benchmark: `python -m bench.appender LOG N HEAD RATE CHUNK`.

Appends the first HEAD events of a stream of N to the topic `events` of an embedded log, RATE events
a second in chunks of CHUNK, each when it is due; one that is late, at once.  Prints as JSON
when each chunk was handed to the log: (monotonic seconds, first position).
"""

from __future__ import annotations

import json
import sys
import time

from bench import workload
from cep.log.sqlite import SqliteLog

TOPIC = "events"


def append(database: str, n: int, head: int, rate: float, chunk: int) -> list[tuple[float, int]]:
    """(monotonic seconds, position of the first event) of every chunk."""
    lines = workload.cached_ndjson(n, head).read_bytes().splitlines(keepends=True)
    log = SqliteLog(database, TOPIC)
    handed: list[tuple[float, int]] = []
    begin = time.monotonic()
    for start in range(0, len(lines), chunk):
        due = begin + start / rate
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        handed.append((time.monotonic(), start))
        log.append(TOPIC, b"".join(lines[start : start + chunk]))
    log.close()
    return handed


def main() -> None:
    database, n, head, rate, chunk = sys.argv[1:]
    print(json.dumps(append(database, int(n), int(head), float(rate), int(chunk))))


if __name__ == "__main__":
    main()
