"""How long prompts are: exact where the model has told it, a safe bound for what is new."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.generation import upper_bound
from chatbot_ai.domain.ports import ChatModel

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
