"""Secrets are named, never written: an environment variable or a file holds the value.

Values are read when they are used, so a file can be changed under a running dispatcher.  Nothing
here prints a value; `redact` removes known values from what others sent us before it is kept.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

from alerts import limits
from alerts.errors import SecretError


class SecretReference(BaseModel):
    """`{env = "NAME"}` or `{file = "/path"}`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_place(self) -> SecretReference:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret has exactly one of env and file")
        return self

    def __str__(self) -> str:
        return f"env {self.env}" if self.env is not None else f"file {self.file}"

    def read(self) -> str:
        """The value without surrounding white space; raises `SecretError`."""
        if self.env is not None:
            value = os.environ.get(self.env, "")
        else:
            try:
                value = Path(str(self.file)).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise SecretError(f"cannot read the secret in {self}") from error
        if not value.strip():
            raise SecretError(f"the secret in {self} is not set")
        return value.strip()


def signing_key(reference: SecretReference) -> bytes:
    """The key of a Standard Webhooks secret: `whsec_` and base64 of 24 to 64 bytes."""
    text = reference.read().removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SecretError(f"the secret in {reference} is not whsec_ and base64") from error
    if not limits.SECRET_BYTES_MIN <= len(key) <= limits.SECRET_BYTES_MAX:
        raise SecretError(
            f"the secret in {reference} must have {limits.SECRET_BYTES_MIN} to "
            f"{limits.SECRET_BYTES_MAX} bytes"
        )
    return key


def readable(*references: SecretReference) -> list[str]:
    """The values of those that can be read now."""
    values = []
    for reference in references:
        with contextlib.suppress(SecretError):
            values.append(reference.read())
    return values


def redact(text: str, values: Iterable[str]) -> str:
    """`text` with each secret value, its `whsec_` prefix aside, replaced by `***`."""
    for value in values:
        for form in (value, value.removeprefix("whsec_")):
            if form:
                text = text.replace(form, "***")
    return text
