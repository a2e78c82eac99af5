"""Keys of programs, people, and the browsers in which they have signed in.

Each function is one transaction.  Times are wall-clock ms.  Raises `NotFound`, and `Refused` for
what cannot be done, such as to take the last administrator's role away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from alerts.errors import NotFound, Refused
from api import limits
from api.access import secrets
from api.access.roles import Caller, Role, roles_of
from api.access.secrets import KeyText
from cep.store.connect import reading
from cep.store.tables import api_key, login, person


@dataclass(frozen=True, slots=True)
class Key:
    """`id` may be shown; the secret is known to nobody but who was given it."""

    id: str
    name: str
    roles: tuple[Role, ...]
    made_by: str
    made_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    used_ms: int | None

    @property
    def caller(self) -> Caller:
        return Caller(f"key:{self.name}", self.roles)

    def is_valid(self, now_ms: int) -> bool:
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    roles: tuple[Role, ...]
    made_by: str
    made_ms: int
    disabled_ms: int | None

    @property
    def caller(self) -> Caller:
        return Caller(self.name, self.roles)


# ------------------------------------------------------------------------------------------ keys


def first_key(engine: Engine, now_ms: int) -> KeyText | None:
    """A key for an administrator, when there is neither a key nor a person yet."""
    with engine.begin() as connection:
        for table in (api_key, person):
            if connection.execute(select(table).limit(1)).first() is not None:
                return None
        return _insert_key(connection, "first", (Role.ADMIN,), "first start", now_ms, None)


def make_key(
    engine: Engine,
    name: str,
    roles: Sequence[Role],
    by: str,
    now_ms: int,
    expires_ms: int | None = None,
) -> KeyText:
    """The only time that the secret is known here."""
    with engine.begin() as connection:
        return _insert_key(connection, name, roles, by, now_ms, expires_ms)


def _insert_key(
    connection: Connection,
    name: str,
    roles: Sequence[Role],
    by: str,
    now_ms: int,
    expires_ms: int | None,
) -> KeyText:
    made = secrets.new_key()
    connection.execute(
        insert(api_key).values(
            id=made.id,
            name=name,
            secret_hash=secrets.hashed(made.secret),
            roles=json.dumps(roles),
            made_by=by,
            made_ms=now_ms,
            expires_ms=expires_ms,
        )
    )
    return made


def list_keys(engine: Engine, after: tuple[int, str], limit: int) -> list[Key]:
    """In the order they were made, behind the one of (made_ms, id)."""
    made_ms, id_ = after
    later = or_(api_key.c.made_ms > made_ms, (api_key.c.made_ms == made_ms) & (api_key.c.id > id_))
    query = select(api_key).where(later).order_by(api_key.c.made_ms, api_key.c.id).limit(limit)
    with reading(engine) as connection:
        return [_key(row) for row in connection.execute(query)]


def find_key(engine: Engine, id_: str) -> Key:
    with reading(engine) as connection:
        return _key(_key_row(connection, id_))


def revoke_key(engine: Engine, id_: str, now_ms: int) -> Key:
    """It is no key from now on, nor are browsers that were signed in with it."""
    with engine.begin() as connection:
        found = _key(_key_row(connection, id_))
        if found.revoked_ms is not None:
            raise Refused("the key was revoked before")
        change = update(api_key).where(api_key.c.id == id_).values(revoked_ms=now_ms)
        connection.execute(change)
        _must_have_administrator(connection, now_ms)
        return _key(_key_row(connection, id_))


def caller_of_key(engine: Engine, text: str, now_ms: int) -> Caller | None:
    """Whose key `text` is; None when it is none, or no longer one."""
    given = secrets.read_key(text)
    if given is None:
        return None
    with reading(engine) as connection:
        row = connection.execute(select(api_key).where(api_key.c.id == given.id)).first()
    if row is None or not secrets.same(row.secret_hash, secrets.hashed(given.secret)):
        return None
    found = _key(row)
    if not found.is_valid(now_ms):
        return None
    if found.used_ms is None or now_ms - found.used_ms >= limits.KEY_USED_EVERY_MS:
        with engine.begin() as connection:
            change = update(api_key).where(api_key.c.id == found.id).values(used_ms=now_ms)
            connection.execute(change)
    return found.caller


# ---------------------------------------------------------------------------------------- people


def add_person(
    engine: Engine, name: str, password: str, roles: Sequence[Role], by: str, now_ms: int
) -> Person:
    values = {
        "name": name,
        "password": secrets.hash_password(password),
        "roles": json.dumps(roles),
        "made_by": by,
        "made_ms": now_ms,
    }
    try:
        with engine.begin() as connection:
            connection.execute(insert(person).values(values))
    except IntegrityError as error:
        raise Refused("somebody has that name") from error
    return find_person(engine, name)


def list_people(engine: Engine, after: str, limit: int) -> list[Person]:
    """By name."""
    query = select(person).where(person.c.name > after).order_by(person.c.name).limit(limit)
    with reading(engine) as connection:
        return [_person(row) for row in connection.execute(query)]


def find_person(engine: Engine, name: str) -> Person:
    with reading(engine) as connection:
        return _person(_person_row(connection, name))


def set_password(engine: Engine, name: str, password: str) -> None:
    """Whoever was signed in by that name has to do so again."""
    kept = secrets.hash_password(password)
    with engine.begin() as connection:
        _person_row(connection, name)
        connection.execute(update(person).where(person.c.name == name).values(password=kept))
        connection.execute(delete(login).where(login.c.person == name))


def set_roles(engine: Engine, name: str, roles: Sequence[Role], now_ms: int) -> Person:
    """They count from the next request on."""
    return _change_person(engine, name, now_ms, roles=json.dumps(roles))


def disable_person(engine: Engine, name: str, now_ms: int) -> Person:
    """They are signed out and cannot sign in; what they did keeps their name."""
    return _change_person(engine, name, now_ms, disabled_ms=now_ms)


def enable_person(engine: Engine, name: str, now_ms: int) -> Person:
    return _change_person(engine, name, now_ms, disabled_ms=None)


def _change_person(engine: Engine, name: str, now_ms: int, **values: object) -> Person:
    with engine.begin() as connection:
        _person_row(connection, name)
        connection.execute(update(person).where(person.c.name == name).values(values))
        _must_have_administrator(connection, now_ms)
        return _person(_person_row(connection, name))


def _must_have_administrator(connection: Connection, now_ms: int) -> None:
    """Raised inside of the transaction, which is then undone."""
    keys = [_key(row) for row in connection.execute(select(api_key))]
    people = [_person(row) for row in connection.execute(select(person))]
    by_key = any(Role.ADMIN in one.roles and one.is_valid(now_ms) for one in keys)
    if not by_key and not any(Role.ADMIN in p.roles and p.disabled_ms is None for p in people):
        raise Refused("nobody would be an administrator any more")


# ---------------------------------------------------------------------------------------- logins


def sign_in(engine: Engine, name: str, password: str, now_ms: int) -> str | None:
    """The token of a new login; None when name and password do not belong together."""
    with reading(engine) as connection:
        row = connection.execute(select(person).where(person.c.name == name)).first()
    kept = secrets.nobodys_password() if row is None else row.password
    fits = secrets.is_password(password, kept)
    if row is None or not fits or row.disabled_ms is not None:
        return None
    return _new_login(engine, now_ms, person=name)


def sign_in_with_key(engine: Engine, text: str, now_ms: int) -> str | None:
    """As `sign_in`, for the holder of a key."""
    if caller_of_key(engine, text, now_ms) is None:
        return None
    return _new_login(engine, now_ms, api_key=text.split("_")[1])


def _new_login(engine: Engine, now_ms: int, **of: str) -> str:
    token = secrets.new_token()
    with engine.begin() as connection:
        connection.execute(delete(login).where(login.c.expires_ms <= now_ms))
        connection.execute(
            insert(login).values(
                token_hash=secrets.hashed(token),
                made_ms=now_ms,
                expires_ms=now_ms + limits.LOGIN_MS,
                **of,
            )
        )
    return token


def sign_out(engine: Engine, token: str) -> None:
    with engine.begin() as connection:
        connection.execute(delete(login).where(login.c.token_hash == secrets.hashed(token)))


def caller_of_login(engine: Engine, token: str, now_ms: int) -> Caller | None:
    """Who has signed in with this token, as they are now."""
    with reading(engine) as connection:
        query = select(login).where(login.c.token_hash == secrets.hashed(token))
        row = connection.execute(query).first()
        if row is None or row.expires_ms <= now_ms:
            return None
        if row.person is not None:
            found = connection.execute(select(person).where(person.c.name == row.person)).first()
            return _person(found).caller if found and found.disabled_ms is None else None
        found = connection.execute(select(api_key).where(api_key.c.id == row.api_key)).first()
    key = _key(found) if found else None
    return key.caller if key and key.is_valid(now_ms) else None


# ----------------------------------------------------------------------------------------- shapes


def _key_row(connection: Connection, id_: str) -> Row[Any]:
    return _there(connection.execute(select(api_key).where(api_key.c.id == id_)).first(), "key")


def _person_row(connection: Connection, name: str) -> Row[Any]:
    return _there(connection.execute(select(person).where(person.c.name == name)).first(), "person")


def _there(row: Row[Any] | None, what: str) -> Row[Any]:
    if row is None:
        raise NotFound(f"there is no such {what}")
    return row


def _key(row: Row[Any]) -> Key:
    return Key(
        row.id,
        row.name,
        roles_of(json.loads(row.roles)),
        row.made_by,
        row.made_ms,
        row.expires_ms,
        row.revoked_ms,
        row.used_ms,
    )


def _person(row: Row[Any]) -> Person:
    return Person(
        row.name, roles_of(json.loads(row.roles)), row.made_by, row.made_ms, row.disabled_ms
    )
