"""Which URLs and addresses a page may be fetched from."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.domain.errors import FetchRefused
from chatbot_ai.search.address import AddressPolicy, find_port, is_public

HOSTILE_URLS = [
    # loopback and "this host", in every spelling that some parser takes for an address
    "http://127.0.0.1/",
    "http://127.0.0.1:80/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.255.255.254/",
    "http://0/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://127。0。0。1/",
    "http://１２７.０.０.１/",
    "http://①②⑦.⓪.⓪.①/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://foo.localhost/",
    "http://localhost.localdomain/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    # private, shared and link-local networks
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://169.254.1.1/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fec0::1]/",
    "http://[fc00::1]/",
    "http://[fd12:3456:789a::1]/",
    # metadata services
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/v2/credentials",
    "http://100.100.100.200/",
    "http://192.0.0.192/",
    "http://168.63.129.16/",
    "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/",
    "http://2852039166/",
    "http://0xA9FEA9FE/",
    # IPv4 inside IPv6
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:8.8.8.8]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:c0a8:1::1]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "http://[2606:4700::5efe:10.0.0.1]/",
    # multicast, reserved, documentation
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.7/",
    "http://203.0.113.9/",
    "http://192.88.99.1/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[100::1]/",
    # names inside a network
    "http://redis/",
    "http://mongodb:27017/",
    "http://printer.local/",
    "http://router.lan/",
    "http://nas.home.arpa/",
    "http://wiki.corp/",
    "http://db.internal/",
    "http://kubernetes.default.svc.cluster.local/",
    "http://something.onion/",
    # schemes, users, ports, and text that two parsers would read differently
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://example.com:70/",
    "data:text/html,hello",
    "javascript:alert(1)",
    "//example.com/",
    "example.com",
    "http:example.com",
    "http:///path",
    "http://user@example.com/",
    "http://user:pass@example.com/",
    "http://example.com@127.0.0.1/",
    "http://example.com:22/",
    "http://example.com:6379/",
    "http://example.com:0/",
    "http://example.com:99999/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\t.example.com/",
    "http://exa mple.com/",
    "http://example.com\r\nHost: x/",
    "http://example.com/\x00",
    "http://example%2ecom/",
    "http://exam\u200bple.com/",
    "http://a..example.com/",
    "http://" + "a." * 130 + "com/",
    "http://example.com/" + "a" * 3000,
    "",
    " ",
]


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_hostile_url_is_refused(url: str) -> None:
    """No URL that leads into a network, or that parsers disagree on, is taken."""
    with pytest.raises(FetchRefused):
        AddressPolicy().parse(url)


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_redirect_to_a_hostile_url_is_refused(url: str) -> None:
    """A redirect is judged like a URL of its own; a relative one stays at its site."""
    policy = AddressPolicy()
    base = policy.parse("https://good.example/page")
    try:
        target = policy.parse(url, base=base)
    except FetchRefused:
        return
    assert target.host in ("good.example", "example.com")
    assert "://" not in url


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.com/a?b=c#d", b"example.com", 443),
        ("HTTP://EXAMPLE.com:80", b"example.com", 80),
        ("http://한국.kr/경로", b"xn--3e0b707e.kr", 80),
        ("http://8.8.8.8/", b"8.8.8.8", 80),
        ("https://[2606:4700::1111]/", b"2606:4700::1111", 443),
        (" https://example.com./x \n", b"example.com.", 443),
        ("https://my_shop.example.co.kr/", b"my_shop.example.co.kr", 443),
        ("https://0x7f.example/", b"0x7f.example", 443),
    ],
)
def test_an_ordinary_url_is_taken(url: str, host: bytes, port: int) -> None:
    """Public URLs pass, with the host as it is resolved and sent."""
    parsed = AddressPolicy().parse(url)
    assert (parsed.raw_host, find_port(parsed)) == (host, port)


def test_the_operators_own_networks_can_be_denied() -> None:
    """A denied network is refused although it is public."""
    policy = AddressPolicy(denied=["8.8.8.0/24", "2606:4700::/32"])
    for url in ("http://8.8.8.8/", "http://[2606:4700::1]/"):
        with pytest.raises(FetchRefused):
            policy.parse(url)
    policy.parse("http://8.8.4.4/")


@given(st.ip_addresses(v=4))
def test_public_ipv4_is_never_more_than_python_says(address: IPv4Address) -> None:
    """An address that the standard library calls private, reserved or multicast is not public."""
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@given(st.ip_addresses(v=6))
def test_public_ipv6_is_never_more_than_python_says(address: IPv6Address) -> None:
    """The same for IPv6, where no address carries an IPv4 one."""
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast
        assert address.ipv4_mapped is None
        assert address.sixtofour is None
        assert address.teredo is None


@given(
    st.sampled_from(["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"]), st.data()
)
def test_every_embedding_of_a_private_address_is_refused(network: str, data: st.DataObject) -> None:
    """Mapped, compatible, NAT64, 6to4 and ISATAP forms of any private address are not public."""
    inner = int(data.draw(st.ip_addresses(network=ip_network(network))))
    for outer in (
        inner,
        0xFFFF << 32 | inner,
        int(IPv6Address("64:ff9b::")) | inner,
        int(IPv6Address("64:ff9b:1::")) | inner,
        int(IPv6Address("2002::")) | inner << 80,
        int(IPv6Address("2a00:1450::5efe:0:0")) | inner,
        int(IPv6Address("2a00:1450::200:5efe:0:0")) | inner,
    ):
        assert not is_public(IPv6Address(outer))


@pytest.mark.parametrize("text", ["1.1.1.1", "223.130.195.95", "2404:6800:4004::200e"])
def test_ordinary_addresses_are_public(text: str) -> None:
    """Addresses of real sites pass."""
    assert is_public(ip_address(text))
