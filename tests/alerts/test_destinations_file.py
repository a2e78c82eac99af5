"""The destinations file: what is accepted, and that each fault is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.config import load_destinations
from alerts.destinations import SmtpDestination, WebhookDestination
from alerts.errors import ConfigError
from alerts.routes import NO_ROUTE

GOOD = """
default = ["soc", "oncall"]

[network]
allow = ["10.1.0.0/16", "::1/128"]
ports = [443, 9000]

[destinations.soc]
type = "webhook"
url = "https://soc.example.com/hooks/cep?team=1"
secrets = [{ env = "HOOK_SECRET" }, { env = "HOOK_OLD_SECRET" }]
timeout_ms = 2000

[destinations.oncall]
type = "smtp"
host = "mail.example.com"
from = "cep@example.com"
to = ["oncall@example.com", "o'neil+cep@example.com"]
"""


def load(tmp_path: Path, text: str) -> object:
    path = tmp_path / "destinations.toml"
    path.write_text(text)
    return load_destinations(path)


def test_good_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "destinations.toml"
    path.write_text(GOOD)
    where = load_destinations(path)
    soc, oncall = where.destinations["soc"], where.destinations["oncall"]
    assert isinstance(soc, WebhookDestination)
    assert isinstance(oncall, SmtpDestination)
    assert (soc.timeout_ms, len(soc.secrets)) == (2000, 2)
    assert (oncall.tls, oncall.sender) == ("starttls", "cep@example.com")
    assert where.targets("default", NO_ROUTE) == ("soc", "oncall")
    assert where.targets("soc", NO_ROUTE) == ("soc",)
    assert where.network.policy().ports == {443, 9000}


OTHERS = """
link = "https://console.example.com/cep/"

[destinations.pager]
type = "pagerduty"
routing_key = { env = "PAGER_KEY" }

[destinations.chat]
type = "apprise"
url = { env = "CHAT_URL" }

[destinations.archive]
type = "file"
path = "/var/log/alerts.jsonl"

[destinations.terminal]
type = "stdout"
"""


@pytest.fixture
def other_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER_KEY", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("CHAT_URL", "jsons://chat.example.com/token")


@pytest.mark.usefixtures("other_secrets")
def test_other_kinds_of_destinations_are_loaded(tmp_path: Path) -> None:
    path = tmp_path / "destinations.toml"
    path.write_text(OTHERS)
    where = load_destinations(path)
    assert {name: one.type for name, one in where.destinations.items()} == {
        "pager": "pagerduty",
        "chat": "apprise",
        "archive": "file",
        "terminal": "stdout",
    }
    assert {one.link for one in where.destinations.values()} == {"https://console.example.com/cep"}


OTHER_FAULTS = {
    "routing key in the file": ('{ env = "PAGER_KEY" }', '"0123456789abcdef"', "routing_key"),
    "routing key of another form": ("PAGER_KEY", "CHAT_URL", "not 32 letters and digits"),
    "routing key not set": ("PAGER_KEY", "NOT_SET_ANYWHERE", "env NOT_SET_ANYWHERE is not set"),
    "chat URL in the file": ('{ env = "CHAT_URL" }', '"slack://a/b/c"', "chat.apprise.url"),
    "chat URL of no kind": ("CHAT_URL", "PAGER_KEY", "not a URL that apprise can use"),
    "no path": ("path =", "# path =", "archive.file.path"),
    "link to a program": ("https://", "javascript://", "http:// or https://"),
    "link with a query": ("/cep/", "/cep?x=1", "a link has no `?`"),
    "setting of another kind": ('"stdout"', '"stdout"\nca_file = "/x"', "terminal.stdout.ca_file"),
}


@pytest.mark.usefixtures("other_secrets")
@pytest.mark.parametrize("name", OTHER_FAULTS)
def test_fault_of_another_kind_is_named(tmp_path: Path, name: str) -> None:
    good, bad, expected = OTHER_FAULTS[name]
    assert good in OTHERS
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, OTHERS.replace(good, bad))
    assert expected in str(caught.value)


MAIL_ADDRESS = "not a plain e-mail address"
TWO_SECRETS = '[{ env = "HOOK_SECRET" }, { env = "HOOK_OLD_SECRET" }]'
LOGIN = 'user = "cep"\npassword = { env = "HOOK_SECRET" }\ntls = "none"\nto = ['

# What is wrong: (text of the good file, what stands there instead, part of the error).
FAULTS = {
    "unknown key": ("timeout_ms", "timeout", "destinations.soc.webhook.timeout"),
    "unknown kind": ('"webhook"', '"pager"', "destinations.soc"),
    "long name": ("[destinations.soc]", f"[destinations.{'x' * 101}]", "printable characters"),
    "NUL in a name": ("[destinations.soc]", '[destinations."soc\\u0000"]', "printable characters"),
    "no secret": (TWO_SECRETS, "[]", "secrets"),
    "three secrets": ("}]", '}, { env = "HOOK_SECRET" }]', "secrets"),
    "secret in two places": ('{ env = "HOOK_SECRET" }', '{ env = "A", file = "b" }', "exactly one"),
    "secret not set": ("HOOK_OLD_SECRET", "NOT_SET_ANYWHERE", "env NOT_SET_ANYWHERE is not set"),
    "ftp": ("https://", "ftp://", "http:// or https://"),
    "user in URL": ("https://", "https://user@", "no user or password"),
    "fragment": ("team=1", "team=1#x", "fragment"),
    "no host": ("soc.example.com/", "/", "host"),
    "bad network": ("10.1.0.0/16", "10.1.0.1/16", "network.allow"),
    "port 0": ("9000", "0", "network.ports"),
    "display name": ('["oncall@example.com"', '["On Call <a@b>"', MAIL_ADDRESS),
    "header in recipient": ('["oncall@example.com"', '["a@b\\r\\nBcc: c@d"', MAIL_ADDRESS),
    "encoded word in sender": ("cep@example", "=?utf-8?q?a?=@example", MAIL_ADDRESS),
    "same recipient twice": ("o'neil+cep@", "oncall@", "named twice"),
    "no recipient": ('["oncall@example.com", "o\'neil+cep@example.com"]', "[]", "to"),
    "user without password": ("to = [", 'user = "cep"\nto = [', "user and password go together"),
    "password without TLS": ("to = [", LOGIN, "not sent without TLS"),
    "default unknown": ('["soc", "oncall"]', '["sock"]', "'sock'"),
    "not TOML": ("[network]", "[network", "line 4"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named(tmp_path: Path, name: str) -> None:
    good, bad, expected = FAULTS[name]
    assert good in GOOD
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(good, bad))
    assert expected in str(caught.value)


def test_every_fault_of_the_file_is_listed(tmp_path: Path) -> None:
    text = GOOD.replace("9000", "0").replace("https://", "ftp://").replace("mail.ex", "mail ex")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert len(str(caught.value).splitlines()) >= 3


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_destinations(tmp_path / "nowhere.toml")


def test_no_destination_is_named_default(tmp_path: Path) -> None:
    text = GOOD.replace("destinations.soc", "destinations.default").replace('"soc", ', "")
    with pytest.raises(ConfigError, match="not the name of one"):
        load(tmp_path, text)
