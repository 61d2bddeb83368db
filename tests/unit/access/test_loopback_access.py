"""Without keys: this machine, and nobody who only looks like it."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.datastructures import Headers

from chatbot_ai.access.loopback import LoopbackAccess
from chatbot_ai.api.caller import caller_address
from chatbot_ai.domain.access import HOP_SIGNS
from chatbot_ai.domain.deadline import SystemClock
from chatbot_ai.domain.errors import Unauthorized
from chatbot_ai.server.guard import build_access
from chatbot_ai.settings import Settings

HERE = "127.0.0.1"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_this_machine_is_admitted(address: str) -> None:
    """Every loopback address may call."""
    principal = await LoopbackAccess().admit({"host": "localhost:8001"}, address)
    assert principal.kind == "open"


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.5", "", "localhost", "::ffff:10.0.0.1"])
async def test_other_machines_are_not(address: str) -> None:
    """An address elsewhere, or none at all, is refused; `anywhere` admits it."""
    with pytest.raises(Unauthorized):
        await LoopbackAccess().admit({}, address)
    assert (await LoopbackAccess(anywhere=True).admit({}, address)).kind == "open"


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("localhost:8001", True),
        ("127.0.0.1:8001", True),
        ("[::1]:8001", True),
        ("192.168.0.7:8001", True),
        ("office", False),
        ("evil:8001", False),
        ("LocalHost.:8001", True),
        ("ours:8001", True),
        ("ours.lan", False),
        ("host.docker.internal:8001", True),
        ("chat.localhost", True),
        ("", True),
        ("rebind.example.com:8001", False),
        ("a1b2.tunnel.example", False),
        ("evil.example.", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.nip.example", False),
        ("evil.internal", False),
        ("evil.test", False),
        ("evil.local:8001", False),
        ("[x]", False),
        ("[::1", False),
        ("[127.0.0.1]:8001", True),
        ("a b", False),
        ("localhost@evil.example", False),
        ("localhost:8001@evil", False),
    ],
)
async def test_a_public_name_does_not_lead_here(host: str, admitted: bool) -> None:
    """Addresses and the names of a list are this machine's: any other, of one part too, could be
    pointed here by somebody, or was given by a tunnel."""
    for anywhere in (False, True):
        access = LoopbackAccess(anywhere=anywhere, hosts=("ours",))
        if admitted:
            await access.admit({"host": host}, HERE)
        else:
            with pytest.raises(Unauthorized):
                await access.admit({"host": host}, HERE)


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        (None, True),
        ("http://localhost:8001", True),
        ("https://team.example", True),
        ("https://evil.example", False),
        ("http://localhost:5173", False),
        ("null", False),
        ("file://", False),
    ],
)
async def test_pages_of_other_sites_do_not_call(origin: str | None, admitted: bool) -> None:
    """A page may call from its own origin or from a listed one."""
    access = LoopbackAccess(origins=["https://team.example"])
    for host in ({"host": "localhost:8001"}, {}):
        headers = host | ({"origin": origin} if origin else {})
        if admitted and (host or origin != "http://localhost:8001"):
            await access.admit(headers, HERE)
        else:
            with pytest.raises(Unauthorized):
                await access.admit(headers, HERE)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "same-origin", "nonsense"])
@pytest.mark.parametrize("mode", ["navigate", "no-cors", "cors"])
@pytest.mark.parametrize("origin", [None, "https://team.example"])
async def test_what_a_browser_says_of_the_page_is_heeded(
    site: str, mode: str, origin: str | None
) -> None:
    """Images, frames, scripts and links of other sites' pages get nothing, a page of a listed
    origin does."""
    access = LoopbackAccess(origins=["https://team.example"])
    headers = {"host": "localhost:8001", "sec-fetch-site": site, "sec-fetch-mode": mode}
    headers |= {"origin": origin} if origin else {}
    if origin or site in ("none", "same-origin"):
        await access.admit(headers, HERE)
    else:
        with pytest.raises(Unauthorized) as refused:
            await access.admit(headers, HERE)
        assert refused.value.reason == "unkeyed_page"


OURS = {"x-real-ip": HERE, "x-forwarded-for": HERE, "x-forwarded-proto": "http"}


@pytest.mark.parametrize(
    "hop",
    [
        *({name: "198.51.100.7"} for name in HOP_SIGNS),
        {"x-forwarded-for": HERE},
        {"x-forwarded-proto": "https"},
        {"x-forwarded-host": "chat.example"},
        {"x-forwarded-anything": "1"},
        OURS | {"via": "1.1 unknown"},
        OURS | {"x-forwarded-for": "198.51.100.7"},
        OURS | {"x-forwarded-for": f"198.51.100.7, {HERE}"},
        OURS | {"x-forwarded-port": "443"},
        OURS | {"x-forwarded-anything": "1"},
        OURS | {"x-forwarded-by": "somebody"},
        OURS | {"x-forwarded-by": "trusted", "via": "1.1 other"},
        {"x-forwarded-by": "trusted", "x-forwarded-for": HERE},
    ],
    ids=str,
)
async def test_what_came_through_a_proxy_is_refused(hop: dict[str, str]) -> None:
    """Any sign of another hop than our gateway is refused, for pages too, and the refusal says
    what to do."""
    access = LoopbackAccess(anywhere=True)
    headers = Headers({"host": "127.0.0.1:8001", **hop})
    with pytest.raises(Unauthorized) as refused:
        await access.admit(headers, HERE)
    assert refused.value.reason == "unkeyed_forwarded"
    with pytest.raises(Unauthorized):
        access.check_page(headers, HERE)


async def test_our_own_gateway_is_no_hop() -> None:
    """What it tells of its caller is admitted."""
    headers = OURS | {"host": "localhost", "x-forwarded-host": "localhost"}
    headers |= {"x-forwarded-prefix": "/office"}
    await LoopbackAccess().admit(headers, HERE)
    vouched = {"x-forwarded-by": "trusted", "x-forwarded-anything": "1"}
    await LoopbackAccess().admit(headers | vouched, HERE)


@pytest.mark.parametrize("proxies", ["", "172.16.0.0/12"])
async def test_who_a_trusted_proxy_serves_may_be_anybody(tmp_path: Path, proxies: str) -> None:
    """In a container callers without a key need not look local, unless a proxy is trusted: what it
    passes on tells of no hop."""
    settings = Settings(
        _env_file=None,
        trust_unkeyed_callers=True,
        gateway_trusted_proxies=proxies,
        data_dir=tmp_path,
    )
    access = build_access(settings, SystemClock())
    await access.open()
    try:
        asked = access.admit({"host": "localhost:8001"}, "172.18.0.1")
        if not proxies:
            assert (await asked).kind == "open"
        else:
            with pytest.raises(Unauthorized) as refused:
                await asked
            assert refused.value.reason == "unkeyed_elsewhere"
    finally:
        await access.close()


@pytest.mark.parametrize(
    ("peer", "told", "address"),
    [
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
        ("172.18.0.4", "10.1.2.3", "10.1.2.3"),
        ("172.18.0.4", "127.0.0.1", "172.18.0.4"),
        ("172.18.0.4", "::1", "172.18.0.4"),
    ],
)
def test_nobody_elsewhere_can_say_that_it_is_here(
    peer: str, told: str | None, address: str
) -> None:
    """X-Real-IP counts, but only who connects from this machine may name it."""
    headers = Headers({"x-real-ip": told} if told else {})
    assert caller_address(headers, {"client": (peer, 1)}) == address
