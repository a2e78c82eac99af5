"""The channels `file` and `stdout`: each message is one line of JSON, the envelope of a webhook.

A line is appended with one write and, in a file, is on the disk before the message counts as
delivered.  What a crash left of a line is ended first, so that it spoils no other.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
from pathlib import Path

from alerts.attempt import Attempt, Surroundings
from alerts.destinations import FileDestination, StdoutDestination
from alerts.envelope import envelope
from alerts.errors import SendError
from alerts.message import Notice
from alerts.reasons import Reason
from alerts.threads import in_thread

# C1 controls, formats that change the direction of text, line separators: only inside strings.
_UNSEEN = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_locks: dict[str, threading.Lock] = {}  # by path; one that hangs holds up no other


def render(notice: Notice, destination: FileDestination | StdoutDestination) -> bytes:
    """One line without its end.  On a terminal no character does anything: they are escaped."""
    # JSON has line breaks between its parts only, where a space means the same.
    line = envelope(notice, destination.link).replace(b"\r", b" ").replace(b"\n", b" ")
    if isinstance(destination, StdoutDestination):
        text = line.decode("utf-8", "replace")
        return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
    return line


async def send(
    attempt: Attempt, destination: FileDestination | StdoutDestination, around: Surroundings
) -> Reason:
    body, name = attempt.body, attempt.delivery.destination

    def write() -> None:
        path = destination.path if isinstance(destination, FileDestination) else None
        with _locks.setdefault(str(path), threading.Lock()):
            if path is not None:
                append_line(path, body)
            else:
                sys.stdout.buffer.write(body + b"\n")
                sys.stdout.buffer.flush()

    try:
        await in_thread(name, destination.timeout_ms, write)
    except (OSError, ValueError) as error:  # ValueError: standard output is closed
        text = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        raise SendError(Reason.NOT_WRITTEN, text) from error
    return Reason.DELIVERED


def secrets(destination: FileDestination | StdoutDestination) -> list[str]:
    return []


def append_line(path: Path, line: bytes) -> None:
    """Appends `line` and its end to a file or a pipe, waits for the disk; raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        size = os.fstat(descriptor).st_size  # 0 for a pipe or a terminal
        left = line + b"\n"
        if size > 0 and os.pread(descriptor, 1, size - 1) != b"\n":
            left = b"\n" + left
        while left:  # a disk that is nearly full takes a part
            left = left[os.write(descriptor, left) :]
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fsync(descriptor)
            if size == 0:
                _sync_folder(path.parent)  # the file may be new, and so is its name
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
