"""Servers of our own that tests run on: PostgreSQL for the store, Redis for tables and logs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis_server import RedisServer
from sqlalchemy import create_engine, text


def _postgres_binary(name: str) -> str | None:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name)
    return found or (str(versions[-1]) if versions else None)


def _as_postgres(command: list[str]) -> list[str]:
    """The server refuses to run as root; then it runs as the user the packages made for it."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Base URL of a PostgreSQL server of our own, listening on a socket in a new folder."""
    initdb, postgres = _postgres_binary("initdb"), _postgres_binary("postgres")
    if initdb is None or postgres is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="cep-pg-"))
    user = "postgres"
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    data = folder / "data"
    subprocess.run(
        _as_postgres([initdb, "-D", str(data), "-U", user, "-A", "trust", "--no-sync"]),
        check=True,
        capture_output=True,
        cwd=folder,
    )
    server = subprocess.Popen(
        _as_postgres(
            [postgres, "-D", str(data), "-k", str(folder), "-c", "listen_addresses=", "-F"]
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    base = f"postgresql+psycopg://{user}@/{{}}?host={folder}"
    try:
        _wait_until_ready(base.format("postgres"))
        yield base
    finally:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, 2)  # SIGINT: fast shutdown
        server.wait(timeout=30)
        shutil.rmtree(folder)


def _wait_until_ready(url: str) -> None:
    engine = create_engine(url)
    deadline = time.monotonic() + 30
    while True:
        try:
            with engine.connect():
                break
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    engine.dispose()


@pytest.fixture
def postgres_database(postgres_server: str) -> str:
    """URL of an empty database."""
    name = f"t{uuid.uuid4().hex}"
    engine = create_engine(postgres_server.format("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgres_server.format(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    found: str = request.getfixturevalue("postgres_database")
    return found


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that keeps nothing, for tests that leave it running."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connected:
        connected.flushall()
        yield connected
