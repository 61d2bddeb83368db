"""Nothing is computed twice: conversations that begin alike keep their own prefixes."""

from __future__ import annotations

import time
from pathlib import Path

from chatbot_ai.core.prompt import prefix_tag
from chatbot_ai.domain.conversation import ConversationKey, Message
from chatbot_ai.domain.generation import Finished, GenerationRequest, Sampling, TextDelta, Usage
from chatbot_ai.domain.prompt_texts import PROMPT_TEXTS
from chatbot_ai.llm.llama import LlamaModel
from support.engines import options_for, running_engine

CARD = "Rachel is a ship's cook on the grain trader Halcyon. She never lies about food. " * 8
SLOTS, CONVERSATIONS, TURNS = 2, 5, 4
#: Tokens that the engine computes again although it holds them: the last one of a prompt, and those
#: of an answer whose text is cut into other tokens when it is read than when it was written.
SEAM_TOKENS = 8


async def ask(model: LlamaModel, messages: list[Message]) -> tuple[str, Usage]:
    request = GenerationRequest(
        tuple(messages), Sampling(temperature=0.0, max_tokens=6), time.monotonic() + 120
    )
    text = ""
    async for event in model.stream(request):
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, Finished):
            return text, event.usage
    raise AssertionError("rule M1")


async def test_conversations_with_one_card_keep_their_own_prefixes(
    model_file: Path, tmp_path: Path
) -> None:
    """Five conversations with the same character take turns on two slots: each turn computes only
    its new message, as if it were alone, although all of them share the card behind their marks."""
    options = options_for(model_file, slots=SLOTS, context_tokens=1024)
    with running_engine(options, tmp_path / "engine.log") as engine:
        model = engine.model()
        keys = [ConversationKey("character", f"guest{n}", "d") for n in range(CONVERSATIONS)]
        talks = [
            [Message("system", f"{prefix_tag(key, PROMPT_TEXTS['ko'])}\n{CARD}")] for key in keys
        ]
        before = [0] * CONVERSATIONS
        for turn in range(TURNS):
            for number, talk in enumerate(talks):
                talk.append(Message("user", f"Guest {number}, turn {turn}: what is for dinner?"))
                text, usage = await ask(model, talk)
                talk.append(Message("assistant", text))
                computed = usage.prompt_tokens - usage.cached_tokens
                if turn:
                    new = usage.prompt_tokens - before[number]
                    assert computed <= new + SEAM_TOKENS, (turn, number, usage)
                before[number] = usage.prompt_tokens + usage.completion_tokens
        await model.close()
