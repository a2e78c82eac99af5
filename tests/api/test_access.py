"""Who gets in, what each role may do, and what is written down of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from api_checks import NOW_MS, PLAIN, RULES, Api, Server, problem
from fastapi.routing import APIRoute
from sqlalchemy import update

from alerts.ports import ManualClock
from api import limits
from api.access import accounts, audit
from api.access.permissions import CHANGES, needed
from api.access.roles import GRANTS, Permission, Role
from api.access.serving import authentication
from api.app import ROUTERS
from api.state import ApiState
from cep.errors import UsageError
from cep.log.sqlite import SqliteLog
from cep.store import tables
from cep.store.store import open_store

PASSWORD = "correct horse battery"
ROUTES = sorted(
    {
        (method, route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Api]:
    """A server that asks who its callers are."""
    path = str(tmp_path / "app.db")
    store, log = open_store(path), SqliteLog(path, "events")
    clock = ManualClock(NOW_MS)
    state = ApiState(store.engine, RULES, log, clock=clock, authentication=True)
    with Server(state) as url, httpx2.Client(base_url=url, verify=PLAIN) as client:
        yield Api(client, url, state, store, log)
    log.close()
    store.close()


def key_for(api: Api, *roles: Role, name: str = "k", expires_ms: int | None = None) -> str:
    return str(accounts.make_key(api.engine, name, roles, "test", NOW_MS, expires_ms))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def advance(api: Api, ms: int) -> None:
    assert isinstance(api.state.clock, ManualClock)
    api.state.clock.advance(ms)


def add_ada(api: Api, *roles: Role) -> None:
    accounts.add_person(api.engine, "ada", PASSWORD, roles or (Role.ANALYST,), "test", NOW_MS)


def sign_in(api: Api, name: str = "ada", password: str = PASSWORD) -> httpx2.Response:
    body = {"name": name, "password": password}
    with httpx2.Client(base_url=api.url, verify=PLAIN) as client:
        return client.post("/api/v1/login", json=body)


def with_cookie(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 204, answer.text
    found = re.match(r"cep_login=([A-Za-z0-9_-]{43});", answer.headers["set-cookie"])
    assert found
    return {"cookie": f"cep_login={found[1]}"}


# ------------------------------------------------------------------------------------- the matrix


def test_every_change_says_which_permission_it_needs() -> None:
    changes = {(method, path) for method, path in ROUTES if method != "GET"}
    assert changes == CHANGES.keys()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_each_route_lets_in_those_roles_that_are_granted_it(
    guarded: Api, method: str, path: str
) -> None:
    """Without a caller 401 (the answer that lets one sign in aside), then 403 or anything else."""
    there = path.replace("{id_}", "0" * 32).replace("{number}", "1")
    there = re.sub(r"\{\w+(:\w+)?\}", "nothing", there)
    request = {"method": method, "url": there, "json": {}}
    if path == "/healthz" or path in ("/api/v1/login", "/api/v1/logout"):
        assert guarded.client.request(**request).status_code not in (401, 403)
        return
    problem(guarded.client.request(**request), 401, "unauthenticated")
    wanted = needed(method, path)
    for role in Role:
        headers = bearer(key_for(guarded, role))
        with guarded.client.stream(**request, headers=headers) as answer:
            refused = answer.status_code == 403 and "needs the permission" in answer.read().decode()
            may = wanted is None or wanted in GRANTS[role]
            assert refused is not may, (role, answer.status_code)
            assert answer.status_code != 401


def test_what_nobody_has_thought_of_needs_an_administrator() -> None:
    assert needed("DELETE", "/api/v1/everything") is Permission.ADMINISTER
    assert needed("GET", "/api/v1/anything") is Permission.READ
    assert all(Permission.ADMINISTER not in GRANTS[role] for role in Role if role != Role.ADMIN)


# ------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Bearer",
        "Bearer x",
        "Basic YTpi",
        "Bearer cep_000000000000_" + "a" * 43,
        "Bearer cep_" + "é" * 56,
        "Bearer " + "cep_" * 2000,
    ],
)
def test_a_credential_that_is_none_opens_nothing(guarded: Api, said: str) -> None:
    answer = guarded.client.get("/api/v1/rules", headers={b"authorization": said.encode()})
    assert problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_is_known_by_its_whole_secret(guarded: Api) -> None:
    key = key_for(guarded, Role.VIEWER)
    assert guarded.client.get("/api/v1/rules", headers=bearer(key)).status_code == 200
    other = key[:-1] + ("A" if key[-1] != "A" else "B")
    problem(guarded.client.get("/api/v1/rules", headers=bearer(other)), 401, "unauthenticated")


def test_a_key_ends_when_it_was_to_end_and_when_it_is_revoked(guarded: Api) -> None:
    short = key_for(guarded, Role.VIEWER, expires_ms=NOW_MS + 1000)
    long, admin = key_for(guarded, Role.VIEWER), bearer(key_for(guarded, Role.ADMIN))
    read = {key: guarded.client.get("/api/v1/rules", headers=bearer(key)) for key in (short, long)}
    assert all(answer.status_code == 200 for answer in read.values())
    advance(guarded, 1000)
    problem(guarded.client.get("/api/v1/rules", headers=bearer(short)), 401, "unauthenticated")
    revoke = f"/api/v1/keys/{long.split('_')[1]}:revoke"
    revoked = guarded.client.post(revoke, headers=admin)
    assert revoked.status_code == 200
    assert revoked.json()["revoked"] is not None
    problem(guarded.client.get("/api/v1/rules", headers=bearer(long)), 401, "unauthenticated")
    problem(guarded.client.post(revoke, headers=admin), 409, "not-possible")


def test_a_key_that_is_made_is_shown_once_and_kept_nowhere(guarded: Api, tmp_path: Path) -> None:
    admin = bearer(key_for(guarded, Role.ADMIN))
    body = {"name": "ci", "roles": ["ingest", "viewer", "viewer"]}
    made = guarded.client.post("/api/v1/keys", json=body, headers=admin)
    assert made.status_code == 201
    key = made.json()["key"]
    assert made.json()["roles"] == ["ingest", "viewer"]
    me = guarded.client.get("/api/v1/whoami", headers=bearer(key)).json()
    assert me == {
        "name": "key:ci",
        "roles": ["ingest", "viewer"],
        "permissions": ["ingest", "read"],
        "authentication": True,
    }
    listed = guarded.client.get("/api/v1/keys", headers=admin)
    assert sorted(one["name"] for one in listed.json()["items"]) == ["ci", "k"]
    secret = key.split("_", 2)[2]
    assert secret not in listed.text + guarded.client.get("/api/v1/audit", headers=admin).text
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in kept


def test_keys_come_page_by_page(guarded: Api) -> None:
    admin = bearer(key_for(guarded, Role.ADMIN, name="0"))
    for number in range(1, 6):
        key_for(guarded, Role.VIEWER, name=str(number))
    seen, cursor = [], {}
    for _ in range(3):
        found = guarded.client.get("/api/v1/keys", params={"limit": 2, **cursor}, headers=admin)
        seen += [one["name"] for one in found.json()["items"]]
        cursor = {"cursor": found.json()["next"]}
    assert sorted(seen) == [str(number) for number in range(6)]
    assert not found.json()["more"]


# ---------------------------------------------------------------------------------------- people


def test_a_person_signs_in_and_out(guarded: Api) -> None:
    add_ada(guarded)
    answer = sign_in(guarded)
    cookie = with_cookie(answer)
    assert {"httponly", "samesite=strict"} <= set(
        answer.headers["set-cookie"].lower().replace(" ", "").split(";")
    )
    me = guarded.client.get("/api/v1/whoami", headers=cookie)
    assert me.json()["name"] == "ada"
    assert guarded.client.post("/api/v1/logout", headers=cookie).status_code == 204
    problem(guarded.client.get("/api/v1/whoami", headers=cookie), 401, "unauthenticated")


def test_the_holder_of_a_key_signs_in_with_it(guarded: Api) -> None:
    key = key_for(guarded, Role.VIEWER, name="desk")
    cookie = with_cookie(guarded.client.post("/api/v1/login", json={"key": key}))
    guarded.client.cookies.clear()
    assert guarded.client.get("/api/v1/whoami", headers=cookie).json()["name"] == "key:desk"
    key_for(guarded, Role.ADMIN)
    accounts.revoke_key(guarded.engine, key.split("_")[1], NOW_MS)
    problem(guarded.client.get("/api/v1/whoami", headers=cookie), 401, "unauthenticated")


def test_a_login_ends_after_half_a_day(guarded: Api) -> None:
    add_ada(guarded)
    cookie = with_cookie(sign_in(guarded))
    advance(guarded, limits.LOGIN_MS - 1)
    assert guarded.client.get("/api/v1/whoami", headers=cookie).status_code == 200
    advance(guarded, 1)
    problem(guarded.client.get("/api/v1/whoami", headers=cookie), 401, "unauthenticated")


def test_a_disabled_person_and_a_changed_password_end_logins(guarded: Api) -> None:
    add_ada(guarded)
    admin = bearer(key_for(guarded, Role.ADMIN))
    cookie = with_cookie(sign_in(guarded))
    assert guarded.client.post("/api/v1/people/ada:disable", headers=admin).status_code == 200
    problem(guarded.client.get("/api/v1/whoami", headers=cookie), 401, "unauthenticated")
    problem(sign_in(guarded), 401, "unauthenticated")
    assert guarded.client.post("/api/v1/people/ada:enable", headers=admin).status_code == 200
    cookie = with_cookie(sign_in(guarded))
    change = {"old": PASSWORD, "new": PASSWORD[::-1]}
    wrong = {"old": "something else", "new": PASSWORD[::-1]}
    path = "/api/v1/whoami:password"
    problem(guarded.client.post(path, json=wrong, headers=cookie), 403, "forbidden")
    assert guarded.client.post(path, json=change, headers=cookie).status_code == 204
    problem(guarded.client.get("/api/v1/whoami", headers=cookie), 401, "unauthenticated")
    problem(sign_in(guarded), 401, "unauthenticated")
    with_cookie(sign_in(guarded, password=PASSWORD[::-1]))


def test_roles_that_are_changed_count_at_once(guarded: Api) -> None:
    add_ada(guarded, Role.VIEWER)
    cookie, admin = with_cookie(sign_in(guarded)), bearer(key_for(guarded, Role.ADMIN))
    problem(guarded.client.get("/api/v1/people", headers=cookie), 403, "forbidden")
    roles = {"roles": ["admin"]}
    changed = guarded.client.post("/api/v1/people/ada:roles", json=roles, headers=admin)
    assert changed.json()["roles"] == ["admin"]
    assert guarded.client.get("/api/v1/people", headers=cookie).status_code == 200


def test_the_last_administrator_stays(guarded: Api) -> None:
    add_ada(guarded, Role.ADMIN)
    cookie = with_cookie(sign_in(guarded))
    taken = {"roles": ["viewer"]}
    for path, body in (("roles", taken), ("disable", {})):
        answer = guarded.client.post(f"/api/v1/people/ada:{path}", json=body, headers=cookie)
        problem(answer, 409, "not-possible")
    assert guarded.client.get("/api/v1/people", headers=cookie).status_code == 200
    key = key_for(guarded, Role.ADMIN)
    answer = guarded.client.post("/api/v1/people/ada:roles", json=taken, headers=cookie)
    assert answer.status_code == 200
    revoke = f"/api/v1/keys/{key.split('_')[1]}:revoke"
    problem(guarded.client.post(revoke, headers=bearer(key)), 409, "not-possible")


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"name": "rule"}, "name"),
        ({"name": "key:x"}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"password": "short"}, "password"),
        ({"password": "x" * (limits.PASSWORD_CHARACTERS_MAX + 1)}, "password"),
        ({"roles": []}, "roles"),
        ({"roles": ["root"]}, "roles"),
    ],
)
def test_bad_names_passwords_and_roles_are_refused(
    guarded: Api, change: dict[str, object], parameter: str
) -> None:
    admin = bearer(key_for(guarded, Role.ADMIN))
    body = {"name": "ada", "password": PASSWORD, "roles": ["viewer"]} | change
    answer = guarded.client.post("/api/v1/people", json=body, headers=admin)
    found = problem(answer, 422, "invalid-parameters")
    assert found["errors"][0]["parameter"].split(".")[0] == parameter
    assert guarded.client.get("/api/v1/people", headers=admin).json()["items"] == []


def test_a_name_belongs_to_one_person(guarded: Api) -> None:
    admin = bearer(key_for(guarded, Role.ADMIN))
    body = {"name": "ada", "password": PASSWORD, "roles": ["viewer"]}
    assert guarded.client.post("/api/v1/people", json=body, headers=admin).status_code == 201
    problem(guarded.client.post("/api/v1/people", json=body, headers=admin), 409, "not-possible")


def test_guessing_passwords_gets_slow(guarded: Api) -> None:
    add_ada(guarded)
    for _ in range(limits.SIGN_IN_TRIES):
        problem(sign_in(guarded, password="not hers at all"), 401, "unauthenticated")
    refused = sign_in(guarded)
    problem(refused, 429, "too-many-requests")
    wait_s = int(refused.headers["retry-after"])
    assert wait_s == limits.SIGN_IN_TRY_EVERY_MS // 1000
    advance(guarded, wait_s * 1000)
    with_cookie(sign_in(guarded))


def test_another_site_cannot_use_the_cookie(guarded: Api) -> None:
    add_ada(guarded, Role.ADMIN)
    cookie = with_cookie(sign_in(guarded))
    body = {"name": "x", "roles": ["admin"]}
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        headers = cookie | {"origin": origin}
        answer = guarded.client.post("/api/v1/keys", json=body, headers=headers)
        problem(answer, 403, "cross-site")
    own = cookie | {"origin": guarded.url}
    assert guarded.client.post("/api/v1/keys", json=body, headers=own).status_code == 201


# ----------------------------------------------------------------------------------------- limits


def test_a_caller_who_asks_too_often_waits_and_others_do_not(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "app.db"))
    clock = ManualClock(NOW_MS)
    state = ApiState(store.engine, RULES, clock=clock, authentication=True, requests_per_second=2)
    with Server(state) as url, httpx2.Client(base_url=url, verify=PLAIN) as client:
        api = Api(client, url, state, store, log=None)  # type: ignore[arg-type]  # not asked
        one, other = (bearer(key_for(api, Role.VIEWER, name=name)) for name in ("a", "b"))
        for _ in range(2 * limits.REQUESTS_BURST_SECONDS):
            assert client.get("/api/v1/whoami", headers=one).status_code == 200
        refused = client.get("/api/v1/whoami", headers=one)
        problem(refused, 429, "too-many-requests")
        assert refused.headers["retry-after"] == "1"
        assert client.get("/api/v1/whoami", headers=other).status_code == 200
        clock.advance(500)
        assert client.get("/api/v1/whoami", headers=one).status_code == 200
        problem(client.get("/api/v1/whoami", headers=one), 429, "too-many-requests")
    store.close()


# ------------------------------------------------------------------------------------------ audit


def test_each_change_is_written_down_before_and_after(guarded: Api) -> None:
    add_ada(guarded)
    cookie, admin = with_cookie(sign_in(guarded)), bearer(key_for(guarded, Role.ADMIN, name="boss"))
    silence = {
        "match": {"rule": "quiet"},
        "comment": "new disks",
        "ends": "2024-12-11T00:00:00Z",
    }
    made = guarded.client.post("/api/v1/silences", json=silence, headers=cookie)
    assert made.status_code == 201
    assert made.json()["by"] == "ada"
    problem(guarded.client.post("/api/v1/keys/x:revoke", headers=cookie), 403, "forbidden")
    person = {"name": "bob", "password": "a secret of bob's", "roles": ["viewer"]}
    assert guarded.client.post("/api/v1/people", json=person, headers=admin).status_code == 201

    found = guarded.client.get("/api/v1/audit", headers=admin).json()["items"]
    assert [one["number"] for one in found] == list(range(1, 8))
    short = [(one["actor"], one["action"], one["subject"]) for one in found]
    assert short == [
        ("ada", "sign in", "login"),
        ("ada", "post", "silences"),
        ("ada", "answered", "silences"),
        ("ada", "revoke", "keys/x"),
        ("ada", "answered", "keys/x"),
        ("key:boss", "post", "people"),
        ("key:boss", "answered", "people"),
    ]
    assert found[1]["detail"] == {"from": "127.0.0.1", "said": silence}
    assert found[2]["detail"] == {"of": 2, "status": 201}
    assert found[4]["detail"] == {"of": 4, "status": 403}
    assert found[5]["detail"]["said"] == person | {"password": "…"}
    of_ada = guarded.client.get("/api/v1/audit", params={"actor": "ada"}, headers=admin).json()
    assert [one["number"] for one in of_ada["items"]] == [1, 2, 3, 4, 5]


def test_somebody_else_cannot_be_named_as_who_did_it(guarded: Api) -> None:
    add_ada(guarded)
    cookie = with_cookie(sign_in(guarded))
    silence = {"match": {"rule": "quiet"}, "comment": "x", "ends": "2024-12-11T00:00:00Z"}
    bob = guarded.client.post("/api/v1/silences", json=silence | {"by": "bob"}, headers=cookie)
    assert "who has signed in" in problem(bob, 403, "forbidden")["detail"]
    ada = guarded.client.post("/api/v1/silences", json=silence | {"by": "ada"}, headers=cookie)
    assert ada.status_code == 201


@pytest.mark.parametrize("column", ["actor", "detail", "at_ms", "hash"])
def test_an_entry_that_was_changed_is_found(guarded: Api, column: str) -> None:
    numbers = [
        audit.record(guarded.engine, NOW_MS, "ada", "post", "silences", {"n": number})
        for number in range(5)
    ]
    assert numbers == [1, 2, 3, 4, 5]
    whole = audit.verify(guarded.engine)
    assert (whole.entries, whole.wrong) == (5, None)
    other = 1 if column == "at_ms" else "f" * 64
    with guarded.engine.begin() as connection:
        change = update(tables.audit).where(tables.audit.c.number == 3).values({column: other})
        connection.execute(change)
    admin = bearer(key_for(guarded, Role.ADMIN))
    found = guarded.client.get("/api/v1/audit:verify", headers=admin).json()
    assert (found["entries"], found["wrong"]) == (2, 3)


def test_an_entry_that_was_taken_out_is_found(guarded: Api) -> None:
    for number in range(3):
        audit.record(guarded.engine, NOW_MS, "ada", "post", "silences", {"n": number})
    with guarded.engine.begin() as connection:
        connection.execute(tables.audit.delete().where(tables.audit.c.number == 2))
    assert audit.verify(guarded.engine).wrong == 2


def test_long_bodies_are_in_the_audit_by_their_hash(api: Api) -> None:
    content = json.dumps({"by": "x" * limits.AUDITED_BODY_BYTES_MAX}).encode()
    api.client.post("/api/v1/silences", content=content)
    [asked, _] = audit.entries(api.engine, 0, 10)
    assert asked.actor == "anonymous"
    assert json.loads(asked.detail)["bytes"] == len(content)
    assert len(json.loads(asked.detail)["sha256"]) == 64


def test_reading_and_events_are_not_in_the_audit(api: Api) -> None:
    api.client.get("/api/v1/rules")
    api.client.post("/api/v1/events", json={"type": "Payment"})
    api.client.post("/api/v1/silences:preview", json={"match": {"rule": "quiet"}})
    assert audit.entries(api.engine, 0, 10) == []


# ----------------------------------------------------------------------------------------- serving


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_nobody_signs_in_on_this_machine_unless_it_is_wanted(host: str) -> None:
    assert authentication(host, None, insecure_no_auth=False) is False
    assert authentication(host, True, insecure_no_auth=False) is True


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "8.8.8.8", "example.com", ""])
def test_whoever_comes_from_elsewhere_signs_in(host: str) -> None:
    assert authentication(host, None, insecure_no_auth=False) is True
    with pytest.raises(UsageError, match="could read detections"):
        authentication(host, False, insecure_no_auth=False)
    assert authentication(host, False, insecure_no_auth=True) is False


def test_the_first_key_is_made_once(guarded: Api) -> None:
    made = accounts.first_key(guarded.engine, NOW_MS)
    assert made is not None
    assert guarded.client.get("/api/v1/keys", headers=bearer(str(made))).status_code == 200
    assert accounts.first_key(guarded.engine, NOW_MS) is None
