"""No webhook reaches a host that is not public, however its URL is written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_network

import pytest
from alert_receivers import HttpReceiver, Reply

from alerts.destinations import WebhookDestination
from alerts.errors import SendError
from alerts.http_sender import HttpxSender
from alerts.network import NetworkPolicy, checked_addresses, parse_address
from alerts.reasons import Reason

# {port} is the canary's: it listens on every address of this machine, IPv4 and IPv6.
HOSTILE_URLS = """
http://127.0.0.1:{port}/
http://127.1:{port}/
http://127.0.1:{port}/
http://127.000.000.001:{port}/
http://0177.0.0.1:{port}/
http://0177.1:{port}/
http://017700000001:{port}/
http://0x7f.1:{port}/
http://0x7f.0x0.0x0.0x1:{port}/
http://0X7F.0.0.1:{port}/
http://0x7f000001:{port}/
http://0x7F000001:{port}/
http://2130706433:{port}/
http://02130706433:{port}/
http://4294967296:{port}/
http://127.0.0.1.:{port}/
http://127.255.255.254:{port}/
http://127.0.0.2:{port}/
http://0.0.0.0:{port}/
http://0:{port}/
http://0x0:{port}/
http://00000000:{port}/
http://localhost:{port}/
http://LOCALHOST:{port}/
http://localhost.:{port}/
http://localhost.localdomain:{port}/
http://ip6-localhost:{port}/
http://ip6-loopback:{port}/
http://[::1]:{port}/
http://[0:0:0:0:0:0:0:1]:{port}/
http://[0000:0000:0000:0000:0000:0000:0000:0001]:{port}/
http://[::]:{port}/
http://[::ffff:127.0.0.1]:{port}/
http://[::ffff:7f00:1]:{port}/
http://[0:0:0:0:0:ffff:127.0.0.1]:{port}/
http://[::127.0.0.1]:{port}/
http://[::1%25lo]:{port}/
http://[::1%lo]:{port}/
http://[fe80::1%25lo]:{port}/
http://[64:ff9b::127.0.0.1]:{port}/
http://[64:ff9b::7f00:1]:{port}/
http://[64:ff9b:1::127.0.0.1]:{port}/
http://[2002:7f00:1::]:{port}/
http://[2002:a00:1::1]:{port}/
http://[2001:0:7f00:1::]:{port}/
http://[2001:db8::1]:{port}/
http://[fec0::1]:{port}/
http://[fc00::1]:{port}/
http://[fd00::1]:{port}/
http://[ff02::1]:{port}/
http://[2606:4700::5efe:7f00:1]:{port}/
http://10.0.0.1:{port}/
http://172.16.0.1:{port}/
http://172.31.255.255:{port}/
http://192.168.0.1:{port}/
http://169.254.169.254:{port}/latest/meta-data/
http://100.64.0.1:{port}/
http://100.100.100.200:{port}/
http://192.0.0.192:{port}/
http://198.18.0.1:{port}/
http://192.88.99.1:{port}/
http://224.0.0.1:{port}/
http://239.255.255.250:{port}/
http://255.255.255.255:{port}/
http://240.0.0.1:{port}/
http://user@127.0.0.1:{port}/
http://user:password@127.0.0.1:{port}/
http://example.com@127.0.0.1:{port}/
http://127.0.0.1:{port}@example.com/
http://example.com:80@127.0.0.1:{port}/
http://127.0.0.1:{port}#@example.com/
http://example.com#@127.0.0.1:{port}/
http://127.0.0.1:{port}\\@example.com/
http://example.com\\@127.0.0.1:{port}/
http:\\\\127.0.0.1:{port}/
http:/127.0.0.1:{port}/
http:127.0.0.1:{port}/
http:///127.0.0.1:{port}/
//127.0.0.1:{port}/
127.0.0.1:{port}/
http://127.0.0.1 :{port}/
http://127.0.0.1%20:{port}/
http://127.0.0.1%00.example.com:{port}/
http://127%2e0%2e0%2e1:{port}/
http://%31%32%37.0.0.1:{port}/
http://①②⑦.⓪.⓪.①:{port}/
http://１２７.０.０.１:{port}/
http://127。0。0。1:{port}/
http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/
http://127.0.0.1:{port}/\r\nHost: example.com
http://127.0.0.1:{port}/\tx
ftp://127.0.0.1:{port}/
file:///etc/passwd
gopher://127.0.0.1:{port}/_x
ws://127.0.0.1:{port}/
https://127.0.0.1:{port}/
https://[::1]:{port}/
HTTP://127.0.0.1:{port}/
""".strip().split("\n")


class FixedResolver:
    """Gives the n-th answer to the n-th question, and the last one from then on."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return answer


def post(
    url: str, policy: NetworkPolicy, resolver: FixedResolver | None = None, **settings: object
) -> int:
    destination = WebhookDestination.model_validate(
        {"url": "http://example.com/", "secrets": [{"env": "HOOK_SECRET"}], **settings}
    )

    async def scenario() -> int:
        sender = HttpxSender(policy, resolver)
        try:
            return (await sender.post("x", destination, url, {}, b"{}")).status
        finally:
            await sender.aclose()

    return asyncio.run(scenario())


def test_table_has_at_least_sixty_forms() -> None:
    assert len(set(HOSTILE_URLS)) >= 60


@pytest.mark.parametrize("form", HOSTILE_URLS)
def test_hostile_url_sends_nothing_to_the_canary(form: str, canary: HttpReceiver) -> None:
    url = form.replace("{port}", str(canary.port))
    with pytest.raises(SendError) as caught:
        post(url, NetworkPolicy(ports=frozenset({80, 443, canary.port})), timeout_ms=2_000)
    # Not a name (or not one that is found) is as good a refusal as the policy's.
    assert caught.value.reason in (Reason.BLOCKED, Reason.NETWORK)
    assert canary.connections == 0


def test_canary_is_reachable_when_loopback_is_allowed(canary: HttpReceiver) -> None:
    policy = NetworkPolicy(
        (ip_network("127.0.0.0/8"), ip_network("::1/128")), frozenset({canary.port})
    )
    assert post(f"http://127.0.0.1:{canary.port}/", policy) == 200
    assert post(f"http://[::1]:{canary.port}/", policy) == 200
    assert post(f"http://0x7f.1:{canary.port}/", policy) == 200
    assert canary.connections == 3


def test_name_is_looked_up_once_and_the_checked_address_is_called(canary: HttpReceiver) -> None:
    rebinding = FixedResolver(["127.0.0.2"], ["127.0.0.1"])
    policy = NetworkPolicy((ip_network("127.0.0.2/32"),), frozenset({canary.port}))
    assert post(f"http://hooks.example.com:{canary.port}/a?b=c", policy, rebinding) == 200
    assert rebinding.asked == 1
    (request,) = canary.requests
    assert request.path == "/a?b=c"
    assert request.headers["host"] == f"hooks.example.com:{canary.port}"


def test_name_that_turns_private_is_refused_on_the_next_message(canary: HttpReceiver) -> None:
    rebinding = FixedResolver(["127.0.0.2"], ["127.0.0.1"])
    policy = NetworkPolicy((ip_network("127.0.0.2/32"),), frozenset({canary.port}))
    url = f"http://hooks.example.com:{canary.port}/"
    assert post(url, policy, rebinding) == 200
    with pytest.raises(SendError, match="not a public address"):
        post(url, policy, rebinding)


def test_one_private_address_refuses_the_whole_name(canary: HttpReceiver) -> None:
    mixed = FixedResolver(["93.184.215.14", "127.0.0.1"])
    with pytest.raises(SendError) as caught:
        post(f"http://hooks.example.com:{canary.port}/", _with_port(canary), mixed)
    assert caught.value.reason is Reason.BLOCKED
    assert canary.connections == 0


def test_next_address_is_tried_when_the_first_is_down() -> None:
    with HttpReceiver(host="127.0.0.3") as second:
        both = FixedResolver(["127.0.0.9", "127.0.0.3"])
        policy = NetworkPolicy((ip_network("127.0.0.0/8"),), frozenset({second.port}))
        assert post(f"http://hooks.example.com:{second.port}/", policy, both) == 200


def test_port_that_is_not_listed_is_refused(canary: HttpReceiver) -> None:
    with pytest.raises(SendError, match=f"port {canary.port} is not in ports"):
        post(f"http://127.0.0.1:{canary.port}/", NetworkPolicy((ip_network("127.0.0.0/8"),)))
    assert canary.connections == 0


def test_proxy_of_the_environment_is_not_used(
    canary: HttpReceiver, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    policy = NetworkPolicy((ip_network("127.0.0.0/8"),), frozenset({receiver.port}))
    assert post(receiver.url, policy) == 200
    assert canary.connections == 0


def test_redirect_to_a_private_address_is_not_followed(
    canary: HttpReceiver, receiver: HttpReceiver
) -> None:
    receiver.replies = [Reply(302, {"Location": f"http://127.0.0.1:{canary.port}/"})]
    policy = NetworkPolicy((ip_network("127.0.0.0/8"),), frozenset({receiver.port, canary.port}))
    assert post(receiver.url, policy) == 302
    assert canary.connections == 0


def test_tls_name_is_the_host_of_the_url_and_not_the_address(tls_ca: str) -> None:
    pinned = FixedResolver(["127.0.0.1"])
    with HttpReceiver(tls=True) as receiver:
        policy = NetworkPolicy((ip_network("127.0.0.0/8"),), frozenset({receiver.port}))
        url = f"https://hooks.example.com:{receiver.port}/"
        assert post(url, policy, pinned, ca_file=tls_ca) == 200
        with pytest.raises(SendError) as caught:
            post(url.replace("hooks", "other"), policy, pinned, ca_file=tls_ca)
        assert caught.value.reason is Reason.NETWORK
        with pytest.raises(SendError):
            post(url, policy, pinned)  # the system does not trust this certificate
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:8.8.8.8"],
)
def test_public_addresses_may_be_called(address: str) -> None:
    assert NetworkPolicy().refusal(parse_address(address)) is None
    found = asyncio.run(
        checked_addresses(NetworkPolicy(), FixedResolver([address]), "example.com", 443)
    )
    assert found == (str(parse_address(address)),)


def test_secret_url_is_in_no_error() -> None:
    for url in ("http://example.com:99999/token", "http://exa mple/token", "http://[::1/token"):
        with pytest.raises(SendError) as caught:
            post(url, NetworkPolicy())
        assert "token" not in str(caught.value)


def _with_port(canary: HttpReceiver) -> NetworkPolicy:
    return NetworkPolicy(ports=frozenset({canary.port}))
