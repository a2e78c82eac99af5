"""`cep key`, `cep audit`, and `cep serve` with keys, as processes."""

from __future__ import annotations

import getpass
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from engine_cases import RULES
from serve_runs import serving, wait_for
from sqlalchemy import update

from api.access import audit
from cep.store import tables
from cep.store.store import open_store


def cep(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cep.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def status(url: str, key: str | None = None) -> int:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_keys_of_the_command_line_open_a_server_that_asks_for_them(tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    with serving(tmp_path, RULES, "--auth") as (url, _):
        log = (tmp_path / "serve.log").read_text()
        first = re.search(r"first administrator's key, shown only now: (cep_\S+)", log)
        assert first
        assert status(f"{url}/healthz") in (200, 503)
        assert status(f"{url}/api/v1/keys") == 401
        assert status(f"{url}/api/v1/keys", first[1]) == 200
        made = cep("key", "add", store, "scraper", "--role", "viewer", "--for", "1h")
        key = made.stdout.strip()
        assert status(f"{url}/metrics", key) == 200
        assert status(f"{url}/api/v1/keys", key) == 403
        listed = cep("key", "list", store).stdout
        assert re.search(r"\n[0-9a-f]{12}  scraper  viewer  20\S+  20\S+ +until 20", listed)
        assert key.split("_", 2)[2] not in listed
        assert cep("key", "revoke", store, key.split("_")[1]).returncode == 0
        assert status(f"{url}/metrics", key) == 401
        again = cep("key", "revoke", store, key.split("_")[1])
        assert (again.returncode, again.stderr) == (2, "cep: the key was revoked before\n")
    with serving(tmp_path, RULES, "--auth") as (url, _):
        assert "first administrator's key" not in (tmp_path / "serve.log").read_text()
        assert status(f"{url}/api/v1/keys", first[1]) == 200


def test_the_audit_has_what_the_command_line_did(tmp_path: Path) -> None:
    with serving(tmp_path) as (url, _):
        wait_for(lambda: status(f"{url}/healthz") == 200, 60)
        assert cep("rules", "pause", "hop", "--store", tmp_path / "s.db").returncode == 0
    store = open_store(str(tmp_path / "s.db"))
    [entry] = audit.entries(store.engine, 0, 10)
    assert (entry.actor, entry.action) == (f"command line:{getpass.getuser()}", "deploy")
    assert "pause" in json.loads(entry.detail)["what"]
    whole = cep("audit", tmp_path / "s.db")
    assert whole.stdout == f"1 entries, whole; the hash of the newest is {entry.hash}\n"
    with store.engine.begin() as connection:
        connection.execute(update(tables.audit).values(actor="nobody"))
    store.close()
    broken = cep("audit", tmp_path / "s.db")
    assert broken.returncode != 0
    assert "entry 1 was changed" in broken.stderr
