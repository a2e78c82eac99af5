"""A dispatcher killed after sending and before recording sends the same id and bytes again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest
from alert_helpers import NOW_MS, dispatcher, hook, one_delivery
from alert_receivers import HttpReceiver
from sqlalchemy import Engine

from alerts.ports import ManualClock

Detect = Callable[..., str]

PROGRAM = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from alerts.config import load_destinations
    from alerts.dispatcher import Dispatcher
    where = load_destinations(Path(sys.argv[2]))
    asyncio.run(Dispatcher(sys.argv[1], where).run_once())
    """
)


@pytest.mark.parametrize("kills", [1, 3])
def test_kill_between_send_and_record_repeats_the_same_id_and_bytes(
    engine: Engine,
    receiver: HttpReceiver,
    detect: Detect,
    tmp_path_factory: pytest.TempPathFactory,
    kills: int,
) -> None:
    settings = tmp_path_factory.mktemp("settings") / "destinations.toml"
    settings.write_text(
        f"""
        [network]
        allow = ["127.0.0.1"]
        ports = [{receiver.port}]
        [destinations.soc]
        url = "{receiver.url}"
        type = "webhook"
        secrets = [{{ env = "HOOK_SECRET" }}]
        """
    )
    detect("soc")
    running: list[subprocess.Popen[bytes]] = []
    # The receiver has the whole message when it kills the sender, which so never hears of it.
    receiver.before_reply = lambda: running[-1].kill()
    for _ in range(kills):
        command = [sys.executable, "-c", PROGRAM, str(engine.url.database), str(settings)]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE))
        _, complaint = running[-1].communicate(timeout=60)
        assert running[-1].returncode == -9, complaint.decode()
        assert (one_delivery(engine).state, one_delivery(engine).attempts) == ("pending", 0)
    receiver.before_reply = lambda: None
    later = ManualClock(NOW_MS + 10**12)  # the killed ones ran by the clock of this machine
    asyncio.run(dispatcher(engine, hook(receiver), later).run_once())
    assert one_delivery(engine).state == "delivered"
    assert len(receiver.requests) == kills + 1
    assert len({request.body for request in receiver.requests}) == 1
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
