"""Three streamed turns with LangChain's ChatOpenAI: BASE_URL KEY TURN TURN TURN."""

from __future__ import annotations

import json
import sys
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr


def main(base_url: str, key: str, turns: list[str]) -> None:
    chat = ChatOpenAI(model="Llama", base_url=base_url, api_key=SecretStr(key), max_retries=0)
    messages: list[Any] = []
    for turn in turns:
        messages.append(HumanMessage(turn))
        pieces = [str(chunk.content) for chunk in chat.stream(messages) if chunk.content]
        messages.append(AIMessage("".join(pieces)))
        sys.stdout.write(json.dumps({"text": "".join(pieces), "pieces": len(pieces)}) + "\n")


main(sys.argv[1], sys.argv[2], sys.argv[3:])
