"""The page fetcher against real servers on loopback, which only a test's exception allows."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import ssl
import subprocess
import zlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chatbot_ai.domain.errors import ExchangeFailed, FetchRefused
from chatbot_ai.search.address import Address, AddressPolicy
from chatbot_ai.search.page_fetch import PageFetcher
from chatbot_ai.search.providers.json_api import JsonApi
from support.scripted_web import (
    Answer,
    Request,
    ScriptedWeb,
    answer_json,
    cut,
    redirect,
    scripted_web,
)
from support.waiting import HANG_S

LIMIT_BYTES = 100_000
PAGE = Answer("<p>안녕</p>".encode())


class Names:
    """A name server: a name's answers in turn, the last one from then on."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Sequence[str]]] = {}
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        answers = self.answers.get(host)
        if answers is None:
            return ["127.0.0.1"] if host.endswith(".example") else []
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
async def web() -> AsyncIterator[ScriptedWeb]:
    async with scripted_web() as web:
        yield web


@pytest.fixture
def names() -> Names:
    return Names()


def policy_for(web: ScriptedWeb) -> AddressPolicy:
    def allow(address: Address, port: int) -> bool:
        return address == ipaddress.ip_address("127.0.0.1") and port == web.port

    return AddressPolicy(allow=allow)


@pytest.fixture
async def fetch(web: ScriptedWeb, names: Names) -> AsyncIterator[PageFetcher]:
    fetch = PageFetcher(
        policy_for(web), resolve=names, max_bytes=LIMIT_BYTES, max_redirects=3, timeout_s=2.0
    )
    yield fetch
    await fetch.close()


def url(web: ScriptedWeb, path: str, host: str = "site.example") -> str:
    return f"http://{host}:{web.port}{path}"


async def test_a_page_comes_as_it_is(web: ScriptedWeb, fetch: PageFetcher) -> None:
    """Body and content type come back, and the request says nothing about this machine."""
    web.pages["/글"] = PAGE
    page = await fetch.fetch(url(web, "/글?q=값#part"))
    assert page.body == PAGE.body
    assert page.content_type == PAGE.content_type
    robots, asked = web.requests
    assert robots.path == "/robots.txt"
    assert asked.headers["host"] == f"site.example:{web.port}"
    assert set(asked.headers) == {
        "host", "accept-encoding", "user-agent", "accept", "accept-language",
    }  # fmt: skip
    assert asked.params == {"q": "값"}


async def test_no_cookie_is_ever_returned(web: ScriptedWeb, fetch: PageFetcher) -> None:
    """Set-Cookie is ignored, also across redirects."""
    web.pages["/a"] = Answer(b"", 302, headers={"Location": "/b", "Set-Cookie": "s=1; Path=/"})
    web.pages["/b"] = PAGE
    await fetch.fetch(url(web, "/a"))
    await fetch.fetch(url(web, "/b"))
    assert all("cookie" not in request.headers for request in web.requests)


async def test_without_the_exception_loopback_is_refused(web: ScriptedWeb, names: Names) -> None:
    """The same server is out of reach of a fetcher with the ordinary policy."""
    fetch = PageFetcher(AddressPolicy(ports=(80, 443, web.port)), resolve=names, timeout_s=2.0)
    for target in (url(web, "/"), url(web, "/", "127.0.0.1")):
        with pytest.raises(FetchRefused):
            await fetch.fetch(target)
    assert web.requests == []
    await fetch.close()


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1"],
        ["127.0.0.2"],
        ["169.254.169.254"],
        ["127.0.0.1", "192.168.1.1"],
        ["8.8.8.8", "::1"],
        ["::ffff:127.0.0.1"],
        ["::ffff:8.8.8.8"],
        ["64:ff9b::a00:1"],
        ["2002:a00:1::"],
        ["fe80::1%lo"],
        ["not an address"],
        ["8.8.8.8"] * 17,
    ],
)
async def test_a_name_with_any_bad_address_is_refused(
    web: ScriptedWeb, fetch: PageFetcher, names: Names, addresses: list[str]
) -> None:
    """One refused address among those of a name refuses the name; nothing is sent."""
    names.answers["evil.example"] = [addresses]
    with pytest.raises(FetchRefused):
        await fetch.fetch(url(web, "/", "evil.example"))
    assert web.requests == []


async def test_a_rebinding_name_is_refused(
    web: ScriptedWeb, fetch: PageFetcher, names: Names
) -> None:
    """A name that turns private between two connections is refused at the second one, and the
    address of one check is never used for a later connection."""
    names.answers["rebind.example"] = [["127.0.0.1"], ["10.0.0.1"]]

    async def robots(request: Request, writer: asyncio.StreamWriter) -> None:
        await Answer(b"", 404, headers={"Connection": "close"})(request, writer)
        writer.close()

    web.pages["/robots.txt"] = robots
    web.pages["/secret"] = PAGE
    with pytest.raises(FetchRefused) as refused:
        await fetch.fetch(url(web, "/secret", "rebind.example"))
    assert refused.value.reason in ("address", "port")
    assert names.asked == ["rebind.example"] * 2
    assert web.paths() == ["/robots.txt"]


async def test_a_rebinding_redirect_is_refused(
    web: ScriptedWeb, fetch: PageFetcher, names: Names
) -> None:
    """A name that is public for its first page and private for the next gets no second page."""
    names.answers["flip.example"] = [["127.0.0.1"], ["169.254.169.254"]]
    web.pages["site.example/"] = redirect(f"http://flip.example:{web.port}/")

    async def close(request: Request, writer: asyncio.StreamWriter) -> None:
        await PAGE(request, writer)
        writer.close()

    web.pages["flip.example/robots.txt"] = close
    with pytest.raises(FetchRefused):
        await fetch.fetch(url(web, "/"))
    assert web.paths() == ["/robots.txt", "/", "/robots.txt"]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:22/",
        "http://[::1]/",
        "http://10.0.0.1/",
        "//192.168.0.1/",
        "file:///etc/passwd",
        "http://user:pass@site.example/",
        "http://inner.example/",
        "http://localhost/",
        "gopher://site.example/",
        "http://site.example\\@127.0.0.1/",
    ],
)
async def test_a_redirect_into_a_network_is_refused(
    web: ScriptedWeb, fetch: PageFetcher, names: Names, location: str
) -> None:
    """Every redirect is judged like a first URL, by name and by address."""
    names.answers["inner.example"] = [["10.1.2.3"]]
    web.pages["/"] = redirect(location)
    with pytest.raises(FetchRefused):
        await fetch.fetch(url(web, "/"))


async def test_redirects_are_followed_as_far_as_allowed(
    web: ScriptedWeb, fetch: PageFetcher
) -> None:
    """Three redirects lead to the page, relative ones and raw UTF-8 included; more do not."""
    web.pages["/1"] = redirect("/2", 301)
    web.pages["/2"] = redirect("3?x=1", 307)
    web.pages["/3"] = redirect(url(web, "/끝", "other.example"), 308)
    web.pages["other.example/끝"] = PAGE
    page = await fetch.fetch(url(web, "/1"))
    assert page.body == PAGE.body
    web.pages["/0"] = redirect("/1")
    with pytest.raises(FetchRefused):
        await fetch.fetch(url(web, "/0"))


async def test_a_redirect_loop_ends(web: ScriptedWeb, fetch: PageFetcher) -> None:
    """A page that redirects to itself is asked four times and no more."""
    web.pages["/loop"] = redirect("/loop")
    with pytest.raises(FetchRefused):
        await fetch.fetch(url(web, "/loop"))
    assert web.paths().count("/loop") == 4


@pytest.mark.parametrize("announced", [True, False])
async def test_a_large_page_is_not_read(
    web: ScriptedWeb, fetch: PageFetcher, announced: bool
) -> None:
    """A page beyond the limit fails, whether it says its size or just goes on."""
    sent = 0

    async def flood(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        size = "Content-Length: 1000000000\r\n" if announced else ""
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{size}\r\n".encode())
        while sent < 50_000_000:
            writer.write(b"x" * 10_000)
            await writer.drain()
            sent += 10_000

    web.pages["/flood"] = flood
    with pytest.raises(ExchangeFailed) as failed:
        await fetch.fetch(url(web, "/flood"))
    assert failed.value.reason == "too_large"
    assert sent < 20_000_000


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_page_is_read(
    web: ScriptedWeb, fetch: PageFetcher, encoding: str
) -> None:
    """gzip and deflate are undone."""
    packed = gzip.compress(PAGE.body) if encoding == "gzip" else zlib.compress(PAGE.body)
    web.pages["/"] = Answer(packed, headers={"Content-Encoding": encoding})
    assert (await fetch.fetch(url(web, "/"))).body == PAGE.body


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_decompression_bomb_is_not_inflated(
    web: ScriptedWeb, fetch: PageFetcher, encoding: str
) -> None:
    """50 kB that would become 50 MB fail at the limit."""
    zeros = b"\0" * 50_000_000
    bomb = gzip.compress(zeros) if encoding == "gzip" else zlib.compress(zeros)
    assert len(bomb) < LIMIT_BYTES
    web.pages["/"] = Answer(bomb, headers={"Content-Encoding": encoding})
    with pytest.raises(ExchangeFailed) as failed:
        await fetch.fetch(url(web, "/"))
    assert failed.value.reason == "too_large"


@pytest.mark.parametrize(
    "body",
    [b"\x1f\x8b\x08 broken", gzip.compress(b"x" * 5000)[:30], b"plain"],
    ids=["broken", "truncated", "plain"],
)
async def test_broken_compression_is_a_protocol_failure(
    web: ScriptedWeb, fetch: PageFetcher, body: bytes
) -> None:
    """A body that is not what its encoding says fails."""
    web.pages["/"] = Answer(body, headers={"Content-Encoding": "gzip"})
    with pytest.raises(ExchangeFailed) as failed:
        await fetch.fetch(url(web, "/"))
    assert failed.value.reason == "protocol"


async def test_an_unknown_encoding_is_a_protocol_failure(
    web: ScriptedWeb, fetch: PageFetcher
) -> None:
    """An encoding that was not offered is not guessed at."""
    web.pages["/"] = Answer(b"x", headers={"Content-Encoding": "br"})
    with pytest.raises(ExchangeFailed) as failed:
        await fetch.fetch(url(web, "/"))
    assert failed.value.reason == "protocol"


@pytest.mark.parametrize("where", ["head", "body", "robots"])
async def test_a_slow_drip_ends_in_time(web: ScriptedWeb, fetch: PageFetcher, where: str) -> None:
    """A server that sends a byte now and then is left when the time is over."""

    async def drip(request: Request, writer: asyncio.StreamWriter) -> None:
        if where != "head":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    web.pages["/robots.txt" if where == "robots" else "/"] = drip
    async with asyncio.timeout(HANG_S):
        with pytest.raises(ExchangeFailed) as failed:
            await fetch.fetch(url(web, "/"), timeout_s=0.5)
    assert failed.value.reason == "timeout"


@pytest.mark.parametrize("content_type", ["application/pdf", "image/png", "application/json", ""])
async def test_only_text_is_read(web: ScriptedWeb, fetch: PageFetcher, content_type: str) -> None:
    """Anything but HTML and plain text is refused before its body is read."""
    web.pages["/"] = Answer(b"x" * 10, content_type=content_type)
    with pytest.raises(FetchRefused) as refused:
        await fetch.fetch(url(web, "/"))
    assert refused.value.reason == "content_type"


@pytest.mark.parametrize("status", [204, 304, 403, 404, 418, 500])
async def test_a_status_other_than_200_fails(
    web: ScriptedWeb, fetch: PageFetcher, status: int
) -> None:
    """An error page is no page."""
    web.pages["/"] = Answer(b"", status)
    with pytest.raises(ExchangeFailed) as failed:
        await fetch.fetch(url(web, "/"))
    assert failed.value.reason == "status"


async def test_a_cut_page_fails(web: ScriptedWeb, fetch: PageFetcher) -> None:
    """A page whose connection ends early is not taken for whole."""
    web.pages["/"] = cut
    with pytest.raises(ExchangeFailed):
        await fetch.fetch(url(web, "/"))


async def test_garbage_instead_of_http_fails(web: ScriptedWeb, fetch: PageFetcher) -> None:
    """A server that speaks no HTTP, or sends an endless head, fails."""

    async def garbage(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n" + b"y" * 300_000)
        await writer.drain()

    web.pages["/"] = garbage
    with pytest.raises(ExchangeFailed):
        await fetch.fetch(url(web, "/"))


async def test_robots_are_respected(web: ScriptedWeb, fetch: PageFetcher) -> None:
    """A disallowed page is refused unasked; robots.txt is read once for a site."""
    web.pages["/robots.txt"] = Answer(
        b"User-agent: *\nDisallow: /private\n\nUser-agent: ChatBotAI\nDisallow: /no-bots\n",
        content_type="text/plain",
    )
    web.pages["/open"] = web.pages["/no-bots"] = PAGE
    await fetch.fetch(url(web, "/open"))
    with pytest.raises(FetchRefused) as refused:
        await fetch.fetch(url(web, "/no-bots"))
    assert refused.value.reason == "robots"
    assert web.paths() == ["/robots.txt", "/open"]


@pytest.mark.parametrize(("status", "is_read"), [(404, True), (403, True), (500, False)])
async def test_missing_robots_allow_and_failing_ones_do_not(
    web: ScriptedWeb, fetch: PageFetcher, status: int, is_read: bool
) -> None:
    """RFC 9309: without robots.txt all is allowed; where it fails nothing is."""
    web.pages["/robots.txt"] = Answer(b"", status)
    web.pages["/"] = PAGE
    if is_read:
        await fetch.fetch(url(web, "/"))
    else:
        with pytest.raises(ExchangeFailed):
            await fetch.fetch(url(web, "/"))


async def test_robots_of_the_redirected_site_count(web: ScriptedWeb, fetch: PageFetcher) -> None:
    """A redirect to a site that disallows the page is refused."""
    web.pages["/"] = redirect(url(web, "/x", "closed.example"))
    web.pages["closed.example/robots.txt"] = Answer(b"User-agent: *\nDisallow: /\n")
    with pytest.raises(FetchRefused) as refused:
        await fetch.fetch(url(web, "/"))
    assert refused.value.reason == "robots"


async def test_an_unknown_name_fails(fetch: PageFetcher, web: ScriptedWeb) -> None:
    """A name without an address is a network failure."""
    with pytest.raises(ExchangeFailed) as failed:
        await fetch.fetch(url(web, "/", "gone.invalid"))
    assert failed.value.reason == "network"


async def test_many_pages_at_once(web: ScriptedWeb, fetch: PageFetcher) -> None:
    """Concurrent fetches of one site ask for its robots.txt once."""
    for n in range(12):
        web.pages[f"/{n}"] = Answer(b"%d" % n)
    pages = await asyncio.gather(*(fetch.fetch(url(web, f"/{n}")) for n in range(12)))
    assert [page.body for page in pages] == [b"%d" % n for n in range(12)]
    assert web.paths().count("/robots.txt") == 1


async def test_the_certificate_is_that_of_the_name(tmp_path: Path, names: Names) -> None:
    """TLS is checked against the name in the URL, although the socket goes to an address."""
    server_tls, client_tls = await asyncio.to_thread(certificate, tmp_path, "secure.example")
    async with scripted_web(server_tls) as web:
        web.pages["/"] = PAGE
        fetch = PageFetcher(policy_for(web), resolve=names, ssl_context=client_tls, timeout_s=5.0)
        page = await fetch.fetch(f"https://secure.example:{web.port}/")
        assert page.body == PAGE.body
        assert web.requests[-1].headers["host"] == f"secure.example:{web.port}"
        with pytest.raises(ExchangeFailed):
            await fetch.fetch(f"https://other.example:{web.port}/")
        await fetch.close()


async def test_an_unknown_authority_is_refused(tmp_path: Path, names: Names) -> None:
    """A certificate that no trusted authority signed ends the connection."""
    server_tls, _ = await asyncio.to_thread(certificate, tmp_path, "secure.example")
    async with scripted_web(server_tls) as web:
        fetch = PageFetcher(policy_for(web), resolve=names, timeout_s=5.0)
        with pytest.raises(ExchangeFailed):
            await fetch.fetch(f"https://secure.example:{web.port}/")
        assert web.requests == []
        await fetch.close()


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a self-signed certificate; return the server's context and one that trusts it."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}",
         "-addext", f"subjectAltName=DNS:{name}"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=cert)


class NoThreads(ThreadPoolExecutor):
    """An event loop's threads that nothing may be put into."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the event loop's own threads were used")


async def test_a_providers_name_is_resolved_apart(web: ScriptedWeb) -> None:
    """A search provider's host name costs none of the event loop's threads, which a name server
    that hangs would fill."""
    asyncio.get_running_loop().set_default_executor(NoThreads())
    web.pages["/search"] = answer_json({"results": []})
    api = JsonApi(f"http://localhost:{web.port}")
    answer = await api.get("search", {"q": "서울"}, timeout_s=5)
    await api.close()
    assert (answer.status, answer.content) == (200, {"results": []})


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_huge_robots_file_counts_as_far_as_it_is_read(
    web: ScriptedWeb, fetch: PageFetcher, compressed: bool
) -> None:
    """RFC 9309: of a robots.txt over 500 KiB the beginning counts, without the rule that is cut."""
    filler = b"# nothing to see here, go on reading\n" * 20_000
    body = b"User-agent: *\nDisallow: /closed\n" + filler + b"Disallow: /open\n"
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    web.pages["/robots.txt"] = Answer(gzip.compress(body) if compressed else body, headers=headers)
    web.pages["/open"] = PAGE
    assert (await fetch.fetch(url(web, "/open"))).body == PAGE.body
    with pytest.raises(FetchRefused) as refused:
        await fetch.fetch(url(web, "/closed"))
    assert refused.value.reason == "robots"
