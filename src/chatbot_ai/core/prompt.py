"""Persona + history + references + newest input -> messages, within the token budget.

The beginning of a conversation's prompt never changes: system prompt and card first, then turns
exactly as they were sent, then the newest input with whatever is only true now beside it. When the
turns outgrow the budget, the oldest half is left out at once, so that the prefix stays the same for
many turns afterwards.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from chatbot_ai.domain.control_tokens import neutralize
from chatbot_ai.domain.conversation import ConversationKey, Message, Turn
from chatbot_ai.domain.errors import ContextTooLong
from chatbot_ai.domain.generation import upper_bound
from chatbot_ai.domain.persona import Character, Persona
from chatbot_ai.domain.ports import ChatModel
from chatbot_ai.domain.prompt_texts import PromptTexts

Counter = Callable[[Sequence[Message]], Awaitable[int]]
Bound = Callable[[Sequence[Message]], int]

#: Share of the history budget that is kept when a block is left out.
KEEP_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Prompt:
    """Messages for the model. `tokens` counts them (None: proved to fit without counting).

    window_start is the index of the oldest turn inside; `left_out` counts turns before it.
    """

    messages: tuple[Message, ...]
    tokens: int | None
    window_start: int
    left_out: int
    sent: str


def format_user_message(persona: Persona, text: str, references: str) -> str:
    """The user message: the input, with the references beside it if there are any."""
    if not references:
        return neutralize(text)
    filled = {"input": text, "references": references}
    whole = re.sub(r"\{\{(input|references)\}\}", lambda m: filled[m.group(1)], persona.reference)
    # as a whole: what came from the web is as foreign as the input, and a marker's two halves
    # could meet where the template joins them
    return neutralize(whole)


def prefix_tag(key: ConversationKey, texts: PromptTexts) -> str:
    """A conversation's own first words, always the same: no two conversations begin alike.

    llama.cpp takes a slot that has a tenth of the prompt in common, and parks what it held only
    where less than half of that stays. Conversations with one persona or card have much more in
    common, so they would overwrite each other's slots and compute their own turns again each time
    (measured: with one 1,000-token card and nine conversations on four slots 79 % from the cache
    at turn 5, falling). A card that is computed once for each conversation costs less.
    """
    parts = "\0".join((key.assistant, key.user_id, key.db_id)).encode("utf-8", "surrogatepass")
    return texts.prefix_tag.format(digest=blake2b(parts, digest_size=4).hexdigest())


async def build_prompt(
    *,
    persona: Persona,
    character: Character | None,
    turns: Sequence[Turn],
    text: str,
    references: str,
    limit_tokens: int,
    count: Counter,
    bound: Bound = upper_bound,
    model: str | None = None,
    sent: str | None = None,
    begun: str = "",
    tag: str = "",
) -> Prompt:
    """Build the prompt of one answer.

    turns         oldest first, as stored; the last one that `model` answered tells where the window
                  starts, so that another model's smaller context leaves no mark on this one's
    limit_tokens  what the prompt may take: the context less the answer
    sent          the user message as it was sent before, where a turn is answered again
    begun         the beginning of the answer, where one is continued
    tag           stands before everything else, see `prefix_tag`
    bound         tokens that messages cannot exceed, told at once
    count         exact token count of messages; called only where the bound does not settle it

    Raises ContextTooLong if system prompt and newest input alone exceed `limit_tokens`.
    """
    persona_text = neutralize(persona.system_prompt(character))
    system = Message("system", f"{tag}\n{persona_text}" if tag else persona_text)
    newest = Message("user", sent or format_user_message(persona, text, references))
    tail = (Message("assistant", neutralize(begun)),) if begun else ()
    start = next(
        (t.window_start for t in reversed(turns) if model in (None, t.answers[0].model)), 0
    )
    window = [t for t in turns if t.index >= start]
    if turns and turns[0].index > start:
        # more turns than are looked back on: leave out a block here too, not one turn at a time
        window = list(turns[len(turns) // 2 :])

    def messages(kept: Sequence[Turn]) -> tuple[Message, ...]:
        middle = [m for t in kept for m in _list_messages(t)]
        return (system, *middle, newest, *tail)

    whole = messages(window)
    if bound(whole) <= limit_tokens:
        return _prompt(whole, None, window, newest)
    tokens = await count(whole)
    if tokens <= limit_tokens:
        return _prompt(whole, tokens, window, newest)
    bare = await count(messages(()))
    if bare > limit_tokens:
        raise ContextTooLong(bare, limit_tokens)
    target = bare + int((limit_tokens - bare) * KEEP_SHARE)
    # the largest suffix of the window that fits: fewer turns never take more tokens
    low, high, kept_tokens = 0, len(window), bare
    first = len(window)
    while low < high:
        middle = (low + high) // 2
        tokens = await count(messages(window[middle:]))
        if tokens <= target:
            first, high, kept_tokens = middle, middle, tokens
        else:
            low = middle + 1
    return _prompt(messages(window[first:]), kept_tokens, window[first:], newest, turns)


def _list_messages(turn: Turn) -> tuple[Message, Message]:
    sent = turn.sent if turn.sent is not None else neutralize(turn.input)
    return Message("user", sent), Message("assistant", neutralize(turn.output))


def _prompt(
    messages: tuple[Message, ...],
    tokens: int | None,
    window: Sequence[Turn],
    newest: Message,
    turns: Sequence[Turn] = (),
) -> Prompt:
    after = turns[-1].index + 1 if turns else 0
    start = window[0].index if window else after
    return Prompt(messages, tokens, start, start, newest.content)


#: Prompts whose length is remembered; about 100 bytes each.
REMEMBERED = 4096


class PromptLengths:
    """Lengths of one model's prompts, in tokens.

    A conversation's next prompt begins with its last one, whose length the model told with its
    answer. So only the few messages since then need a bound, and asking the model to count, which
    costs more the longer the conversation is, is left for prompts that come near the limit.
    """

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self._known: OrderedDict[bytes, int] = OrderedDict()

    def bound(self, messages: Sequence[Message]) -> int:
        """Tokens that `messages` cannot exceed: never less than `count` would say."""
        best = upper_bound(messages)
        for end, digest in enumerate(_digests(messages), 1):
            known = self._known.get(digest)
            if known is not None:
                self._known.move_to_end(digest)
                rest = messages[end:]
                best = min(best, known + upper_bound(rest) if rest else known)
        return best

    async def count(self, messages: Sequence[Message]) -> int:
        """The exact number, from the model."""
        tokens = await self._model.count_tokens(messages)
        self.learn(messages, tokens)
        return tokens

    def learn(self, messages: Sequence[Message], tokens: int) -> None:
        """Remember that the prompt of `messages` takes `tokens`, the opening of the answer that
        the template adds to it included; 0 (a server that does not tell) teaches nothing."""
        if tokens <= 0 or not messages or messages[-1].role == "assistant":
            return
        *_, digest = _digests(messages)
        self._known[digest] = tokens
        self._known.move_to_end(digest)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _digests(messages: Sequence[Message]) -> Iterator[bytes]:
    """A digest of each prefix of `messages`, the shortest first; linear in their length."""
    running = blake2b(digest_size=16)
    for message in messages:
        content = message.content.encode("utf-8", "surrogatepass")
        running.update(f"{message.role}:{len(content)}:".encode())
        running.update(content)
        yield running.digest()
