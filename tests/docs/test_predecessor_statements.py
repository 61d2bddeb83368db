"""What v1.7.4's own document tells operators, our guides tell them too, in both languages."""

from __future__ import annotations

from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDES = ("operations", "deployment", "from-1.7.4")
HUB = "https://huggingface.co/QuantFactory/Meta-Llama-3.1-8B-Claude-GGUF"
#: Statement: what must be found in the guides of each language.
STATEMENTS = {
    "where it runs": ["Windows", "macOS", "Docker Desktop", "WSL 2"],
    "rebuild.bat": ["`rebuild.bat`", "docker compose up --build --detach --wait"],
    "test.bat": ["`test.bat`", "chatbot-ai loadtest office"],
    "models: repository": [f"({HUB})"],
    "models: files for wget": [
        f"wget -c -P ai_model/QuantFactory {HUB}/resolve/main/Meta-Llama-3.1-8B-Claude.Q4_{n}.gguf"
        for n in (0, 1)
    ],
    "models: paths": ["ai_model/QuantFactory/Meta-Llama-3.1-8B-Claude.Q4_1.gguf"],
    "GPU memory": ["20 GB", "9.2 GiB", "7.6 GiB"],
    "disk": ["100 GB", "30 GB"],
    "two at once, or one": ["OFFICE_MAX_CONCURRENT=1"],
    "512 and not 1,024 tokens": ["1,024", "OFFICE_ANSWER_TOKENS=1024"],
    "monitoring": [
        "| `docker compose ps` |",
        "`docker compose logs --tail 50 nginx`",
        "`docker compose exec office nvidia-smi`",
        "`curl -s localhost:8001/office/performance`",
    ],
    "symptom: the model does not load": ["/app/ai_model/"],
    "symptom: GPU memory short": ["`GPU_LAYERS`", "30", "27"],
    "symptom: poor answers": ["`X-Backup-Answer: true`"],
    "symptom: unstable": ["`OFFICE_MAX_CONCURRENT=1`", "`CHARACTER_MAX_CONCURRENT=1`"],
    "tuning: layers": ["`CHARACTER_GPU_LAYERS`"],
    "tuning: batch": ["`OFFICE_BATCH_TOKENS`", "1024"],
    "tuning: quantisation": ["Q4_0", "Q4_1"],
    "tuning: queue": ["`OFFICE_MAX_WAITING`", "`REQUEST_DEADLINE_S`"],
    "tuning: backup": ["`BACKUP_ENGINE_URL`", "temperature 0.7", "top_p 0.9"],
    "tuning: nginx, containers": ["`GATEWAY_RATE_PER_S`", "`SERVICE_MEMORY_LIMIT`", "SSD"],
    "headers passed on": ["`Host`", "`X-Real-IP`", "`X-Forwarded-For`", "`X-Forwarded-Proto`"],
    "private files": ["chmod 600 .env", "chmod o= logs"],
}


@pytest.mark.parametrize("language", ["", ".ko"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_guides_answer(statement: str, language: str) -> None:
    """Each statement has its answer in operations, deployment or the page for movers."""
    guides = "\n".join((DOCS / f"{name}{language}.md").read_text("utf-8") for name in GUIDES)
    assert [text for text in STATEMENTS[statement] if text not in guides] == []
