"""Where messages can go: the destinations file (TOML) as checked, frozen models.

    default = ["soc"]                          # for rules without `notify`

    [network]                                  # what webhooks may call besides the public internet
    allow = ["10.1.0.0/16"]
    ports = [80, 443]

    [destinations.soc]
    type = "webhook"
    url = "https://soc.example.com/hooks/cep"
    secrets = [{ env = "SOC_SECRET" }]

    [destinations.oncall]
    type = "smtp"
    host = "mail.example.com"
    from = "cep@example.com"
    to = ["oncall@example.com"]

Refuses unknown keys, secrets written in the file, and addresses that could add a header.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from alerts import limits
from alerts.credentials import SecretReference, signing_key
from alerts.errors import ConfigError, SecretError
from alerts.network import DEFAULT_PORTS, NetworkPolicy, check_url, parse_network

# No `?`: with it, an address could hold an encoded word.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")


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


def _network(text: str) -> str:
    parse_network(text)
    return text


MailAddress = Annotated[str, AfterValidator(_mail_address)]
HostName = Annotated[str, AfterValidator(_host_name)]
WebhookUrl = Annotated[str, AfterValidator(_url)]
NetworkText = Annotated[str, AfterValidator(_network)]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Model(BaseModel):
    # Inputs may be secrets written in the wrong place: errors never repeat them.
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True
    )


class _Destination(_Model):
    timeout_ms: int = Field(limits.TIMEOUT_DEFAULT_MS, ge=100, le=limits.TIMEOUT_MAX_MS)
    concurrency: int = Field(limits.CONCURRENCY_DEFAULT, ge=1, le=limits.CONCURRENCY_MAX)
    ca_file: Path | None = None  # certificates to trust instead of the system's


class WebhookDestination(_Destination):
    """`secrets`: every message is signed with each, so a receiver can change over at its pace."""

    type: Literal["webhook"] = "webhook"
    url: WebhookUrl | SecretReference
    secrets: tuple[SecretReference, ...] = Field(min_length=1, max_length=limits.SECRETS_MAX)

    def address(self) -> str:
        """The URL to call; raises `SecretError` or ValueError when it is a secret and unusable."""
        if isinstance(self.url, str):
            return self.url
        url = self.url.read()
        check_url(url)
        return url


class SmtpDestination(_Destination):
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


Destination = Annotated[WebhookDestination | SmtpDestination, Field(discriminator="type")]


class NetworkSettings(_Model):
    """`allow`: networks that are not public and may still be called; `ports`: all that may be."""

    allow: tuple[NetworkText, ...] = ()
    ports: frozenset[Port] = DEFAULT_PORTS

    def policy(self) -> NetworkPolicy:
        return NetworkPolicy(tuple(parse_network(text) for text in self.allow), self.ports)


class Destinations(_Model):
    """Everything the dispatcher knows about where to send."""

    default: tuple[str, ...] = ()
    network: NetworkSettings = NetworkSettings()
    destinations: dict[str, Destination] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _default_exists(self) -> Destinations:
        for name in self.default:
            if name not in self.destinations:
                raise ValueError(f"default names {name!r}, which is not a destination")
        if "default" in self.destinations:
            raise ValueError("`default` is a list of destinations, not the name of one")
        return self

    def route(self, name: str) -> tuple[str, ...]:
        """The destinations meant by `name`; `default` means the configured list."""
        return self.default if name == "default" else (name,)

    def check_secrets(self) -> None:
        """Reads every secret once, so that a missing one is found at start.

        Raises `ConfigError` naming all that cannot be used.
        """
        faults = []
        for name, destination in self.destinations.items():
            try:
                if isinstance(destination, WebhookDestination):
                    destination.address()
                    for reference in destination.secrets:
                        signing_key(reference)
                elif destination.password is not None:
                    destination.password.read()
            except (SecretError, ValueError) as error:
                faults.append(f"destinations.{name}: {error}")
        if faults:
            raise ConfigError("\n".join(faults))


def load_destinations(path: Path) -> Destinations:
    """Reads and checks a destinations file, its secrets included.

    Raises `ConfigError` with one line per fault.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {type(error).__name__}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        destinations = Destinations.model_validate(data)
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        ]
        # The input may hold a secret, so the original error goes no further.
        raise ConfigError("\n".join(lines)) from None
    destinations.check_secrets()
    return destinations
