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

The models of the destinations themselves are in `alerts.destinations`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator

from alerts import limits
from alerts.destinations import Destination, Link, Model, Port
from alerts.errors import ConfigError, SecretError
from alerts.network import DEFAULT_PORTS, NetworkPolicy, parse_network
from alerts.routes import Route


def _network(text: str) -> str:
    parse_network(text)
    return text


def _name(text: str) -> str:
    if not 0 < len(text) <= limits.NAME_CHARACTERS_MAX or not text.isprintable():
        raise ValueError(
            f"the name of a destination is 1 to {limits.NAME_CHARACTERS_MAX} printable characters"
        )
    return text


DestinationName = Annotated[str, AfterValidator(_name)]
NetworkText = Annotated[str, AfterValidator(_network)]


class NetworkSettings(Model):
    """`allow`: networks that are not public and may still be called; `ports`: all that may be."""

    allow: tuple[NetworkText, ...] = ()
    ports: frozenset[Port] = DEFAULT_PORTS

    def policy(self) -> NetworkPolicy:
        return NetworkPolicy(tuple(parse_network(text) for text in self.allow), self.ports)


class Destinations(Model):
    """Everything the dispatcher knows about where to send.

    `link` is where people look at alerts, for destinations that have none of their own.
    """

    default: tuple[str, ...] = ()
    link: Link | None = None
    routes: tuple[Route, ...] = Field(default=(), max_length=limits.ROUTES_MAX)
    network: NetworkSettings = NetworkSettings()
    destinations: dict[DestinationName, Destination] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _link_for_all(cls, data: Any) -> Any:
        """A message depends on its destination alone, so each has the link itself."""
        if not isinstance(data, dict) or not isinstance(data.get("destinations"), dict):
            return data
        named = {
            name: {"link": data.get("link"), **one} if isinstance(one, dict) else one
            for name, one in data["destinations"].items()
        }
        return {**data, "destinations": named}

    @model_validator(mode="after")
    def _default_exists(self) -> Destinations:
        for name in self.default:
            if name not in self.destinations:
                raise ValueError(f"default names {name!r}, which is not a destination")
        if "default" in self.destinations:
            raise ValueError("`default` is a list of destinations, not the name of one")
        return self

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> Destinations:
        names: set[str] = set()
        for route in self.routes:
            if route.name in names:
                raise ValueError(f"two routes are named {route.name!r}")
            names.add(route.name)
            for name in sorted(route.destinations() - self.destinations.keys()):
                raise ValueError(f"route {route.name!r} names {name!r}, which is not a destination")
        return self

    def targets(self, name: str, route: Route) -> tuple[str, ...]:
        """The destinations meant by `name`; `default` means the route's, or the configured list."""
        if name != "default":
            return (name,)
        return route.to or self.default

    def check_secrets(self) -> None:
        """Reads every secret once, so that a missing one is found at start.

        Raises `ConfigError` naming all that cannot be used.
        """
        faults = []
        for name, destination in self.destinations.items():
            try:
                destination.check()
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
