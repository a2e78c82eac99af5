"""Secrets are made here, and recognised without being kept.

A key is `cep_ID_SECRET`: the id finds its row, of the secret only a hash is kept.  It has 256 bits
of chance, so one round of SHA-256 is enough; passwords, which people think of, go through scrypt.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from functools import cache
from typing import NamedTuple

_KEY = re.compile(r"cep_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_SCRYPT_LOG2_N, _SCRYPT_R, _SCRYPT_P = 15, 8, 1
_SCRYPT_BYTES_MAX = 128 * 1024 * 1024
_SALT_BYTES = 16


class KeyText(NamedTuple):
    """The two parts of a key."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"cep_{self.id}_{self.secret}"


def new_key() -> KeyText:
    return KeyText(secrets.token_hex(6), secrets.token_urlsafe(32))


def read_key(text: str) -> KeyText | None:
    """None when `text` has not the form of a key."""
    found = _KEY.fullmatch(text)
    return KeyText(*found.groups()) if found else None


def new_token() -> str:
    return secrets.token_urlsafe(32)


def hashed(secret: str) -> bytes:
    """Of a secret that this module made; 32 bytes."""
    return hashlib.sha256(secret.encode()).digest()


def same(one: bytes, other: bytes) -> bool:
    """In a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)


def hash_password(password: str) -> str:
    salt = secrets.token_bytes(_SALT_BYTES)
    shown = (base64.b64encode(part).decode() for part in (salt, _scrypt(password, salt)))
    return "$".join(("scrypt", f"{_SCRYPT_LOG2_N},{_SCRYPT_R},{_SCRYPT_P}", *shown))


def is_password(password: str, kept: str) -> bool:
    """Whether `kept` was made of `password`; takes a tenth of a second or so."""
    _, parameters, salt, expected = kept.split("$")
    log2_n, r, p = map(int, parameters.split(","))
    found = _scrypt(password, base64.b64decode(salt), log2_n, r, p)
    return same(found, base64.b64decode(expected))


@cache
def nobodys_password() -> str:
    """Compared with where there is no such person, so that the time does not tell."""
    return hash_password(secrets.token_hex(16))


def _scrypt(
    password: str, salt: bytes, log2_n: int = _SCRYPT_LOG2_N, r: int = _SCRYPT_R, p: int = _SCRYPT_P
) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=1 << log2_n, r=r, p=p, maxmem=_SCRYPT_BYTES_MAX, dklen=32
    )
