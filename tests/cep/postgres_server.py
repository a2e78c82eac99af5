"""A PostgreSQL server of our own in a new folder, which tests start, kill and start again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

START_SECONDS = 60
USER = "postgres"


class PostgresServer:
    """Runs from the start, reached by a socket in its folder; `url` is that of a database."""

    def __init__(self) -> None:
        initdb, postgres = _binary("initdb"), _binary("postgres")
        if initdb is None or postgres is None:
            pytest.skip("PostgreSQL is not installed")
        self._folder = Path(tempfile.mkdtemp(prefix="cep-pg-"))
        if os.geteuid() == 0:
            shutil.chown(self._folder, USER)
        self._data = self._folder / "data"
        subprocess.run(
            _as_postgres([initdb, "-D", str(self._data), "-U", USER, "-A", "trust", "--no-sync"]),
            check=True,
            capture_output=True,
            cwd=self._folder,
        )
        settings = ["-k", str(self._folder), "-c", "listen_addresses=", "-F"]
        self._command = _as_postgres([postgres, "-D", str(self._data), *settings])
        self.start()

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}@/{database}?host={self._folder}"

    def new_database(self) -> str:
        """URL of an empty one."""
        name = f"t{uuid.uuid4().hex}"
        engine = create_engine(self.url(USER), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
        )
        engine = create_engine(self.url(USER))
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with engine.connect():
                    break
            except OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                time.sleep(0.05)
        engine.dispose()

    def stop(self) -> None:
        """As for an upgrade: every connection is closed at once, everything is written."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """As by a crash: the next start recovers."""
        self._signal(signal.SIGQUIT)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _signal(self, number: int) -> None:
        pid = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, number)
        self._process.wait(timeout=60)


def _binary(name: str) -> str | None:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name)
    return found or (str(versions[-1]) if versions else None)


def _as_postgres(command: list[str]) -> list[str]:
    """The server refuses to run as root; then it runs as the user the packages made for it."""
    return ["runuser", "-u", USER, "--", *command] if os.geteuid() == 0 else command
