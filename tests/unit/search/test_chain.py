"""Several providers as one, with providers that a test drives."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from chatbot_ai.domain.errors import SearchQuotaExceeded, SearchUnavailable
from chatbot_ai.domain.ports import SearchResult
from chatbot_ai.search.chain import Cooldown, ProviderResults, SearchChain
from chatbot_ai.search.shared_calls import SharedCalls
from support.waiting import HANG_S

HIT = SearchResult("제목", "https://a.example/", "내용")


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Provider:
    """Answers what `plan` says: results, an error to raise, or an event to wait for first."""

    def __init__(self, name: str, plan: list[SearchResult] | Exception | asyncio.Event) -> None:
        self.name = name
        self.plan = plan
        self.calls = 0
        self.asked = asyncio.Event()
        self.cancelled = 0
        self.closed = False

    async def search(self, query: str, *, limit: int, timeout_s: float) -> list[SearchResult]:
        self.calls += 1
        self.asked.set()
        if isinstance(self.plan, asyncio.Event):
            try:
                await self.plan.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return [SearchResult(self.name, "https://late.example/", "")]
        if isinstance(self.plan, Exception):
            raise self.plan
        return self.plan[:limit]

    async def close(self) -> None:
        self.closed = True


async def find(chain: SearchChain, query: str = "질문", timeout_s: float = 5.0) -> ProviderResults:
    return await chain.find(query, limit=5, timeout_s=timeout_s)


async def test_the_first_provider_wins() -> None:
    """Where the first provider answers, the others are not asked."""
    one, two = Provider("one", [HIT]), Provider("two", [HIT])
    found = await find(SearchChain([one, two]))
    assert (found.provider, found.results, two.calls) == ("one", (HIT,), 0)


@pytest.mark.parametrize(
    "first",
    [[], SearchUnavailable("down"), SearchQuotaExceeded("quota", 60), TypeError("a bug")],
    ids=["empty", "error", "quota", "bug"],
)
async def test_the_next_provider_answers(first: list[SearchResult] | Exception) -> None:
    """Nothing found, an error, a quota and even a bug lead to the next provider."""
    found = await find(SearchChain([Provider("one", first), Provider("two", [HIT])]))
    assert (found.provider, found.results) == ("two", (HIT,))


async def test_a_slow_provider_shares_the_time() -> None:
    """The next provider is asked when the first took its share, and may overtake it."""
    slow = Provider("slow", asyncio.Event())
    found = await find(SearchChain([slow, Provider("two", [HIT])]), timeout_s=0.4)
    assert found.provider == "two"
    assert slow.cancelled == 1


async def test_a_slow_provider_may_still_win() -> None:
    """Results of an earlier provider that come late are taken if no other has any."""
    event = asyncio.Event()
    slow, two = Provider("slow", event), Provider("two", SearchUnavailable("down"))
    search = asyncio.create_task(find(SearchChain([slow, two]), timeout_s=2))
    await asyncio.wait_for(two.asked.wait(), HANG_S)
    event.set()
    assert (await search).provider == "slow"


async def test_all_hanging_ends_in_time() -> None:
    """With every provider hanging the search fails in the time given."""
    chain = SearchChain([Provider(str(n), asyncio.Event()) for n in range(3)])
    async with asyncio.timeout(HANG_S):
        with pytest.raises(SearchUnavailable):
            await find(chain, timeout_s=0.3)


async def test_empty_beats_failing() -> None:
    """If one provider found nothing and the others failed, nothing was found."""
    chain = SearchChain([Provider("one", []), Provider("two", SearchUnavailable("down"))])
    assert await find(chain) == ProviderResults("one", ())


async def test_no_provider_answers() -> None:
    """All failing is SearchUnavailable."""
    with pytest.raises(SearchUnavailable):
        await find(SearchChain([Provider("one", SearchUnavailable("down"))]))


async def test_results_are_cached_until_they_expire() -> None:
    """The same question, however spaced and cased, is answered from the cache until it expires."""
    clock, one = Time(), Provider("one", [HIT])
    chain = SearchChain([one], cache_ttl_s=60, clock=clock)
    await find(chain, "Seoul 날씨")
    await find(chain, "  seoul   날씨 ")
    assert one.calls == 1
    clock.now += 61
    await find(chain, "Seoul 날씨")
    assert one.calls == 2


async def test_empty_answers_are_cached_for_a_minute_and_failures_never() -> None:
    """Nothing found is soon asked again, a failure at once."""
    clock, one = Time(), Provider("one", [])
    chain = SearchChain([one], cache_ttl_s=600, clock=clock)
    await find(chain)
    await find(chain)
    clock.now += 61
    await find(chain)
    assert one.calls == 2
    one.plan = SearchUnavailable("down")
    for _ in range(2):
        with pytest.raises(SearchUnavailable):
            await find(chain, "다른 질문")
    assert one.calls == 4


async def test_a_quota_answer_rests_the_provider() -> None:
    """After a quota answer the provider is left alone for as long as it said."""
    clock = Time()
    one, two = Provider("one", SearchQuotaExceeded("quota", 300)), Provider("two", [HIT])
    chain = SearchChain([one, two], clock=clock)
    for n in range(3):
        assert (await find(chain, f"질문 {n}")).provider == "two"
    assert one.calls == 1
    clock.now += 301
    one.plan = [HIT]
    assert (await find(chain, "질문 3")).provider == "one"


async def test_a_failing_provider_rests_for_a_moment() -> None:
    """Three failures in a row rest a provider; an answer between them starts the count anew."""
    clock, one = Time(), Provider("one", SearchUnavailable("down"))
    chain = SearchChain([one, Provider("two", [HIT])], clock=clock)
    for n in range(6):
        one.plan = [HIT] if n == 2 else SearchUnavailable("down")
        await find(chain, f"질문 {n}")
    assert one.calls == 6
    await find(chain, "질문 7")
    assert one.calls == 6
    clock.now += 31
    await find(chain, "질문 8")
    assert one.calls == 7


async def test_all_resting_says_when_to_come_back() -> None:
    """With every provider at rest the search fails at once, with the shortest wait."""
    chain = SearchChain(
        [
            Provider("one", SearchQuotaExceeded("quota", 300)),
            Provider("two", SearchQuotaExceeded("quota", 120)),
        ],
        clock=Time(),
    )
    with pytest.raises(SearchUnavailable):
        await find(chain, "질문 1")
    with pytest.raises(SearchUnavailable) as resting:
        await find(chain, "질문 2")
    assert resting.value.retry_after_s == 120


async def test_identical_questions_are_asked_once() -> None:
    """Ten callers with one question cost one search, and a caller that leaves disturbs none."""
    event = asyncio.Event()
    one = Provider("one", event)
    chain = SearchChain([one])
    callers = [asyncio.create_task(find(chain)) for _ in range(10)]
    await asyncio.wait_for(one.asked.wait(), HANG_S)
    callers[0].cancel()
    callers[1].cancel()
    event.set()
    ended = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(item) for item in ended] == [asyncio.CancelledError] * 2 + [ProviderResults] * 8
    assert one.calls == 1


async def test_the_last_caller_leaving_leaves_a_result() -> None:
    """A search that nobody waits for any more still fills the cache."""
    event = asyncio.Event()
    one = Provider("one", event)
    chain = SearchChain([one])
    caller = asyncio.create_task(find(chain))
    await asyncio.wait_for(one.asked.wait(), HANG_S)
    caller.cancel()
    event.set()
    await asyncio.gather(caller, return_exceptions=True)
    assert (await find(chain)).provider == "one"
    assert one.calls == 1


async def test_closing_ends_searches_and_providers() -> None:
    """Closing ends what runs, for its waiters with SearchUnavailable, and closes the providers."""
    one = Provider("one", asyncio.Event())
    chain = SearchChain([one])
    caller = asyncio.create_task(find(chain))
    await asyncio.wait_for(one.asked.wait(), HANG_S)
    await chain.close()
    with pytest.raises(SearchUnavailable):
        await caller
    assert one.closed
    assert one.cancelled == 1


async def test_no_log_line_holds_the_question() -> None:
    """What is logged about a failing provider names it and the kind of error, not the question."""
    with capture_logs() as logs, pytest.raises(SearchUnavailable):
        await find(SearchChain([Provider("one", SearchUnavailable("down"))]), "비밀 질문")
    assert [(log["event"], log["provider"]) for log in logs] == [("search.provider_failed", "one")]
    assert "비밀" not in str(logs)


async def test_the_cache_is_bounded() -> None:
    """The least recently used entry goes first."""
    provider = Provider("one", [HIT])
    chain = SearchChain([provider], cache_entries=3, clock=Time())

    async def asks(query: str) -> bool:
        before = provider.calls
        await chain.find(query, limit=5, timeout_s=5)
        return provider.calls > before

    for query in "012":
        assert await asks(query)
    assert not await asks("0")
    assert await asks("3")
    assert [await asks(query) for query in "023"] == [False, False, False]
    assert await asks("1")


async def test_a_shared_failure_reaches_every_waiter() -> None:
    """A call that fails fails for all who share it, and the next one is a new call."""
    calls: SharedCalls[str, int] = SharedCalls()
    started = 0

    async def fail() -> int:
        nonlocal started
        started += 1
        await asyncio.sleep(0)
        raise SearchUnavailable("down")

    for expected in (1, 2):
        ended = await asyncio.gather(
            *(calls.run("key", fail) for _ in range(3)), return_exceptions=True
        )
        assert [type(item) for item in ended] == [SearchUnavailable] * 3
        assert started == expected


@pytest.mark.parametrize(("asked_s", "rest_s"), [(1.0, 60.0), (300.0, 300.0), (1e9, 3600.0)])
def test_a_rest_has_bounds(asked_s: float, rest_s: float) -> None:
    """A provider's wish for a rest is kept between a minute and an hour."""
    clock = Time()
    cooldown = Cooldown(clock=clock)
    cooldown.note_failure("one", SearchQuotaExceeded("quota", asked_s))
    assert cooldown.wait_s(("one",)) == rest_s
    clock.now += rest_s
    assert not cooldown.is_resting("one")


@pytest.mark.parametrize(("timeout_s", "calls"), [(0.1, 4), (1.7, 3)])
async def test_a_provider_without_time_has_not_failed(timeout_s: float, calls: int) -> None:
    """Being cut off counts as a failure only for a provider that had a fair time."""
    never = Provider("never", asyncio.Event())
    chain = SearchChain([never])
    for n in range(4):
        with pytest.raises(SearchUnavailable):
            await find(chain, f"질문 {n}", timeout_s=timeout_s)
    assert never.calls == calls
