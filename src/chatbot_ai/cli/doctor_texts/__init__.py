"""What `doctor` says: for each finding what is so, and after the line break how to mend it."""

from __future__ import annotations

from typing import Final

from chatbot_ai.cli.doctor_texts.gpu import GPU
from chatbot_ai.cli.doctor_texts.machine import MACHINE
from chatbot_ai.cli.doctor_texts.services import SERVICES
from chatbot_ai.cli.language import Catalogue

TEXTS: Final[Catalogue] = {**MACHINE, **GPU, **SERVICES}

NAMES: Final[Catalogue] = {
    "python": {"ko": "파이썬", "en": "Python"},
    "cpu": {"ko": "CPU", "en": "CPU"},
    "kernel": {"ko": "커널", "en": "Kernel"},
    "memory": {"ko": "메모리", "en": "Memory"},
    "disk": {"ko": "디스크", "en": "Disk"},
    "gpu": {"ko": "GPU", "en": "GPU"},
    "docker": {"ko": "도커", "en": "Docker"},
    "toolkit": {"ko": "컨테이너 GPU", "en": "Container GPU"},
    "model": {"ko": "모델 파일", "en": "Model file"},
    "port": {"ko": "포트", "en": "Port"},
    "nginx": {"ko": "nginx", "en": "nginx"},
    "database": {"ko": "데이터베이스", "en": "Database"},
    "keys": {"ko": "키", "en": "Keys"},
    "folder": {"ko": "폴더", "en": "Folder"},
    "memlock": {"ko": "메모리 고정", "en": "Memory lock"},
}

SUMMARY: Final[Catalogue] = {
    "ok": {"ko": "모두 정상입니다.", "en": "All is well."},
    "warn": {
        "ko": "실행할 수 있습니다. 주의할 점: {warnings}개.",
        "en": "Ready to run, with {warnings} warning(s).",
    },
    "fail": {
        "ko": "고쳐야 할 문제: {failures}개, 주의할 점: {warnings}개.",
        "en": "{failures} problem(s) to mend, {warnings} warning(s).",
    },
}
