"""Pages cut into passages, ranked against the question, and as many taken as the budget holds.

Pure; ranking a few pages takes tens of milliseconds and belongs in a thread. Korean attaches
particles to nouns (서울은, 서울에서), so that whole words rarely match: for the ranking a word of
Hangul becomes its stem without a trailing particle and the stem's syllable pairs, which also find
compounds (부동산세 in 종합부동산세). A morphological analyser would be more exact and costs a model
of about 80 MB and a second of start-up; for ranking a few pages the pairs suffice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chatbot_ai.domain.text import normalize

PASSAGE_CHARS = 500
_MIN_PASSAGE_CHARS = 40
#: A passage of the first result beats an equal one of the tenth by this share.
_ORDER_BONUS = 0.15
_SENTENCE_END = re.compile(r"(?<=[.!?。！？…])\s+")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of one page. `page` counts pages in the search's order, `position` within it."""

    page: int
    position: int
    text: str


def split(text: str, page: int, max_chars: int = PASSAGE_CHARS) -> list[Passage]:
    """Cut cleaned text into passages of at most `max_chars`, at paragraphs, then sentences.

    Short neighbours are joined; nothing but white space is lost, except for pieces below 40
    characters where the page has longer ones.
    """
    pieces: list[str] = []
    for part in _parts(text, max_chars):
        if pieces and len(pieces[-1]) + 1 + len(part) <= max_chars:
            pieces[-1] = f"{pieces[-1]}\n{part}"
        else:
            pieces.append(part)
    long = [piece for piece in pieces if len(piece) >= _MIN_PASSAGE_CHARS]
    return [Passage(page, position, piece) for position, piece in enumerate(long or pieces)]


def rank(passages: Sequence[Passage], question: str) -> list[Passage]:
    """Return the passages that have any term of the question, most relevant first (BM25)."""
    # brings NumPy: loaded in the ranking thread, by the start of a service that searches
    import bm25s  # type: ignore[import-untyped]  # noqa: PLC0415

    wanted = list(dict.fromkeys(terms(question)))
    documents = [terms(passage.text) for passage in passages]
    known = {term for document in documents for term in document}
    wanted = [term for term in wanted if term in known]
    if not wanted:
        return []
    index = bm25s.BM25()
    index.index(documents, show_progress=False)
    scores = [float(score) for score in index.get_scores(wanted)]
    weighed = [
        (score * (1 + _ORDER_BONUS / (1 + passage.page)), passage)
        for score, passage in zip(scores, passages, strict=True)
        if score > 0
    ]
    weighed.sort(key=lambda pair: (-pair[0], pair[1].page, pair[1].position))
    return [passage for _, passage in weighed]


def limit_per_page(ranked: Sequence[Passage], per_page: int = 3) -> list[Passage]:
    """Keep the first `per_page` passages of each page, so that several sources are heard, and one
    of those with the same text."""
    kept: list[Passage] = []
    of_page: Counter[int] = Counter()
    seen: set[str] = set()
    for passage in ranked:
        if of_page[passage.page] < per_page and passage.text not in seen:
            kept.append(passage)
            of_page[passage.page] += 1
            seen.add(passage.text)
    return kept


def pick(
    ranked: Sequence[Passage], costs: Sequence[int], budget: int, *, page_cost: int = 0
) -> list[Passage]:
    """Take passages in their order as far as `budget` goes; a costlier one is passed over.

    costs      tokens of each passage
    page_cost  tokens that the first passage of a page costs on top, for its heading
    """
    taken: list[Passage] = []
    pages: set[int] = set()
    left = budget
    for passage, cost in zip(ranked, costs, strict=True):
        total = cost + (0 if passage.page in pages else page_cost)
        if total <= left:
            taken.append(passage)
            pages.add(passage.page)
            left -= total
    return taken


def group_by_page(taken: Iterable[Passage]) -> list[list[Passage]]:
    """Group passages by page, the page of the best passage first, each in the page's own order."""
    groups: dict[int, list[Passage]] = {}
    for passage in taken:
        groups.setdefault(passage.page, []).append(passage)
    return [sorted(group, key=lambda passage: passage.position) for group in groups.values()]


def _parts(text: str, max_chars: int) -> Iterable[str]:
    """Yield non-empty pieces of at most `max_chars`, cutting inside a sentence only if it must."""
    for paragraph in text.split("\n"):
        short = len(paragraph) <= max_chars
        for sentence in [paragraph] if short else _SENTENCE_END.split(paragraph):
            rest = sentence.strip()
            while len(rest) > max_chars:
                cut = rest.rfind(" ", max_chars // 2, max_chars)
                cut = max_chars if cut < 0 else cut
                yield rest[:cut].rstrip()
                rest = rest[cut:].lstrip()
            if rest:
                yield rest


_WORD = re.compile(r"[가-힣]+|[a-z0-9]+(?:[._'+#-]?[a-z0-9+#]+)*|[\u3040-\u30ff\u4e00-\u9fff]+")
_PARTICLE_LIST = """
    은 는 이 가 을 를 의 에 도 만 로 와 과 랑 나 야 께 으로 에서 에게 에는 에도 에만 한테
    까지 부터 처럼 보다 마다 조차 밖에 이나 이랑 이란 이라 라는 이라는 에서는 에서도 에게는
    으로는 으로도 까지는 부터는 이었다 였다 입니다 이다 인가요 인가 이며 하고 하는 하다 했다
    합니다 했습니다 되었다 됐다 됩니다 된다 인데 이고 이야 이에요 예요 에요 나요 은요 는요
"""
_PARTICLES = tuple(sorted(_PARTICLE_LIST.split(), key=len, reverse=True))
#: Of a two-syllable word only these leave a one-syllable noun; nouns seldom end in them.
_CERTAIN = ("은", "는", "을", "를", "의")
_FILLERS = """
    그 이 저 것 수 등 및 더 좀 왜 뭐 뭔 무엇 어떤 어떻게 언제 어디 누가 누구 그리고 그런데 하지만
    알려 알려줘 알려주세요 알려줄래 해줘 해주세요 설명해줘 말해줘 찾아줘 검색해줘 궁금해 대해 대한
    대해서 관련
    the a an of to in on at is are was were be and or for with what when how who why do does did it
    this that i you me my your please tell about
"""
_STOP = frozenset(_FILLERS.split())


def terms(text: str) -> list[str]:
    """Return the terms of `text`, in order and with repetitions, without filler words."""
    found: list[str] = []
    for word in _WORD.findall(normalize(text, "NFKC").casefold()):
        if word in _STOP:
            continue
        if "가" <= word[0] <= "힣":
            found.extend(_korean(word))
        elif word[0] >= "\u3040":
            found.extend(_pairs(word) or [word])
        else:
            found.append(word)
    return found


def stem(word: str) -> str:
    """Return a Hangul word without its trailing particle, if it has one."""
    for particle in _PARTICLES:
        if word.endswith(particle) and len(word) - len(particle) >= 2:
            return word.removesuffix(particle)
    if len(word) == 2 and word.endswith(_CERTAIN):
        return word[0]
    return word


def _korean(word: str) -> list[str]:
    base = stem(word)
    if base in _STOP:
        return []
    return [base, *(pair for pair in _pairs(base) if pair != base)]


def _pairs(word: str) -> list[str]:
    return [word[i : i + 2] for i in range(len(word) - 1)]
