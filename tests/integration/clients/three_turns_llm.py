"""Three streamed turns with the `llm` command, as a person types them: BASE_URL KEY TURN…"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MODEL = """- model_id: chatbot
  model_name: Llama
  api_base: {base_url}
"""


def main(base_url: str, key: str, turns: list[str]) -> None:
    program = str(Path(sys.executable).with_name("llm"))
    with tempfile.TemporaryDirectory() as folder:
        # JSON strings are YAML strings
        text = MODEL.format(base_url=json.dumps(base_url))
        Path(folder, "extra-openai-models.yaml").write_text(text, encoding="utf-8")
        environment = {**os.environ, "LLM_USER_PATH": folder, "OPENAI_API_KEY": key}
        for number, turn in enumerate(turns):
            goes_on = ["--continue"] if number else []
            command = [program, "prompt", "--model", "chatbot", *goes_on, turn]
            with subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            ) as process:
                pieces = _pieces(process)
            if process.returncode:
                raise SystemExit(process.returncode)
            said = b"".join(pieces).decode().removesuffix("\n")
            sys.stdout.write(json.dumps({"text": said, "pieces": len(pieces)}) + "\n")


def _pieces(process: subprocess.Popen[bytes]) -> list[bytes]:
    """What it prints, as it comes."""
    output = process.stdout
    if output is None:
        raise AssertionError("its output is a pipe")
    pieces = []
    while piece := os.read(output.fileno(), 65536):
        pieces.append(piece)
    return pieces


main(sys.argv[1], sys.argv[2], sys.argv[3:])
