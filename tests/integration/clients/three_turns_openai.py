"""Three streamed turns with OpenAI's own Python client: BASE_URL KEY TURN TURN TURN."""

from __future__ import annotations

import json
import sys
from typing import Any

from openai import OpenAI


def main(base_url: str, key: str, turns: list[str]) -> None:
    client = OpenAI(base_url=base_url, api_key=key, max_retries=0)
    messages: list[Any] = []
    for turn in turns:
        messages.append({"role": "user", "content": turn})
        pieces = [
            chunk.choices[0].delta.content
            for chunk in client.chat.completions.create(
                model="Llama", messages=messages, stream=True
            )
            if chunk.choices and chunk.choices[0].delta.content
        ]
        messages.append({"role": "assistant", "content": "".join(pieces)})
        sys.stdout.write(json.dumps({"text": "".join(pieces), "pieces": len(pieces)}) + "\n")


main(sys.argv[1], sys.argv[2], sys.argv[3:])
