"""What the machine can do without us: figures that make other figures comparable.

The calibration loop is fixed for ever: change it and all recorded ratios lose their meaning.
"""

from __future__ import annotations

import time
from datetime import datetime

import msgspec

CALIBRATION_STEPS = 5_000_000
SLICE_STEPS = 500_000
BLOCK_BYTES = 1 << 20


def calibration_steps_per_second() -> float:
    """A loop of integer arithmetic in plain Python: best of three."""
    return max(_calibrate() for _ in range(3))


def _calibrate() -> float:
    begin = time.perf_counter()
    _loop(CALIBRATION_STEPS)
    return CALIBRATION_STEPS / (time.perf_counter() - begin)


def slice_processor_seconds() -> float:
    """Processor time of a short piece of the loop, `SLICE_STEPS`: how fast the core is just now."""
    begin = time.process_time()
    _loop(SLICE_STEPS)
    return time.process_time() - begin


def _loop(steps: int) -> None:
    state = 1
    for _ in range(steps):
        state = (state * 1_103_515_245 + 12_345) & 0x7FFFFFFF


class _Event(msgspec.Struct, tag_field="type"):
    ts: datetime
    user: str
    ip: str
    country: str


class _LoginFailed(_Event, tag="login_failed"):
    pass


class _LoginOk(_Event, tag="login_ok"):
    pass


class _PasswordChange(_Event, tag="password_change"):
    pass


class _Tx(_Event, tag="tx"):
    card: str
    amount: float


def decoder_events_per_second(data: bytes) -> float:
    """The bare typed decoder of msgspec over NDJSON, objects thrown away: best of three."""
    blocks = _blocks(data)
    decoder = msgspec.json.Decoder(_LoginFailed | _LoginOk | _PasswordChange | _Tx)
    best = 0.0
    for _ in range(3):
        count = 0
        begin = time.perf_counter()
        for block in blocks:
            count += len(decoder.decode_lines(block))
        best = max(best, count / (time.perf_counter() - begin))
    return best


def _blocks(data: bytes) -> list[bytes]:
    """`data` cut at line ends into blocks of about `BLOCK_BYTES`."""
    blocks, start = [], 0
    while start < len(data):
        end = data.find(b"\n", start + BLOCK_BYTES) + 1 or len(data)
        blocks.append(data[start:end])
        start = end
    return blocks
