"""The destinations: one checked, frozen model for each kind of receiver.

Every model has a `type`, which finds its channel in `alerts.channels`, and `check`, which reads its
secrets once.  Refuses unknown keys, secrets written in the file, and addresses that could add a
header.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from alerts import chat_service, limits
from alerts.credentials import SecretReference, signing_key
from alerts.errors import SecretError
from alerts.network import check_url
from alerts.routes import Storm

# No `?`: with it, an address could hold an encoded word.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
_ROUTING_KEY = re.compile(r"[A-Za-z0-9]{32}")


def _mail_address(text: str) -> str:
    if not _ADDRESS.fullmatch(text) or len(text) > 254:
        raise ValueError("not a plain e-mail address (user@host, ASCII, no display name)")
    return text


def _host_name(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("not a host name")
    return text


def _url(text: str) -> str:
    check_url(text)
    return text


def _link(text: str) -> str:
    if check_url(text).query or len(text) > limits.LINK_CHARACTERS_MAX:
        raise ValueError(f"a link has no `?` and at most {limits.LINK_CHARACTERS_MAX} characters")
    return text.rstrip("/")


MailAddress = Annotated[str, AfterValidator(_mail_address)]
HostName = Annotated[str, AfterValidator(_host_name)]
HttpUrl = Annotated[str, AfterValidator(_url)]
Link = Annotated[str, AfterValidator(_link)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Model(BaseModel):
    # Inputs may be secrets written in the wrong place: errors never repeat them.
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True
    )


class _Destination(Model):
    """`resolved`: whether it is told that an alert is over; `link`: where people look at alerts."""

    timeout_ms: int = Field(limits.TIMEOUT_DEFAULT_MS, ge=100, le=limits.TIMEOUT_MAX_MS)
    concurrency: int = Field(limits.CONCURRENCY_DEFAULT, ge=1, le=limits.CONCURRENCY_MAX)
    resolved: bool = False
    link: Link | None = None
    storm: Storm | None = None

    def check(self) -> None:
        """Reads every secret; raises `SecretError` or ValueError for one that cannot be used."""


class _NetworkDestination(_Destination):
    ca_file: Path | None = None  # certificates to trust instead of the system's


class WebhookDestination(_NetworkDestination):
    """`secrets`: every message is signed with each, so a receiver can change over at its pace."""

    type: Literal["webhook"] = "webhook"
    url: HttpUrl | SecretReference
    secrets: tuple[SecretReference, ...] = Field(min_length=1, max_length=limits.SECRETS_MAX)

    def address(self) -> str:
        """The URL to call; raises `SecretError` or ValueError when it is a secret and unusable."""
        if isinstance(self.url, str):
            return self.url
        url = self.url.read()
        check_url(url)
        return url

    def check(self) -> None:
        self.address()
        for reference in self.secrets:
            signing_key(reference)


class SmtpDestination(_NetworkDestination):
    type: Literal["smtp"] = "smtp"
    host: HostName
    port: Port | None = None  # 587 with starttls, 465 with tls, 25 with none
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: SecretReference | None = None
    sender: MailAddress = Field(alias="from")
    to: tuple[MailAddress, ...] = Field(min_length=1, max_length=limits.RECIPIENTS_MAX)

    @model_validator(mode="after")
    def _credentials_agree(self) -> SmtpDestination:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        loopback = self.host in ("localhost", "127.0.0.1", "::1")
        if self.password is not None and self.tls == "none" and not loopback:
            raise ValueError("a password is not sent without TLS")
        if len(set(self.to)) != len(self.to):
            raise ValueError("a recipient is named twice")
        return self

    def check(self) -> None:
        if self.password is not None:
            self.password.read()


class PagerDutyDestination(_NetworkDestination):
    """`url` is another one for accounts in the EU: https://events.eu.pagerduty.com/v2/enqueue."""

    type: Literal["pagerduty"] = "pagerduty"
    routing_key: SecretReference
    url: HttpUrl = "https://events.pagerduty.com/v2/enqueue"
    resolved: bool = True

    def key(self) -> str:
        """The routing key; raises `SecretError`."""
        key = self.routing_key.read()
        if not _ROUTING_KEY.fullmatch(key):
            raise SecretError(f"the secret in {self.routing_key} is not 32 letters and digits")
        return key

    def check(self) -> None:
        self.key()


class AppriseDestination(_Destination):
    """A chat service, by the URL that the package `apprise` has for it."""

    type: Literal["apprise"] = "apprise"
    url: SecretReference

    @model_validator(mode="after")
    def _package_is_there(self) -> AppriseDestination:
        if importlib.util.find_spec("apprise") is None:
            raise ValueError("needs the package apprise: pip install 'cep[apprise]'")
        return self

    def check(self) -> None:
        chat_service.open_service(self.url)


class FileDestination(_Destination):
    type: Literal["file"] = "file"
    path: Path


class StdoutDestination(_Destination):
    type: Literal["stdout"] = "stdout"


Destination = Annotated[
    WebhookDestination
    | SmtpDestination
    | PagerDutyDestination
    | AppriseDestination
    | FileDestination
    | StdoutDestination,
    Field(discriminator="type"),
]
