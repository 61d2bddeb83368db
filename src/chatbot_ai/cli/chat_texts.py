"""What `chatbot-ai chat` says, in Korean and English."""

from __future__ import annotations

from chatbot_ai.cli.language import Catalogue

TEXTS: Catalogue = {
    "you": {"ko": "나", "en": "you"},
    "hint": {
        "ko": "대화를 끝내려면 Ctrl-D, 답을 멈추려면 Ctrl-C",
        "en": "Ctrl-D ends the chat, Ctrl-C stops an answer",
    },
    "queued": {
        "ko": "대기 {position}번째, 약 {wait}초",
        "en": "number {position} in the queue, about {wait} s",
    },
    "away": {
        "ko": "{url} 에 연결할 수 없습니다. 먼저 `make run`을 실행하거나 --url을 확인하세요.",
        "en": "{url} cannot be reached. Run `make run` first, or check --url.",
    },
    "broken": {
        "ko": "답이 끝나기 전에 연결이 끊겼습니다. 다시 보내 주세요.",
        "en": "The connection broke off before the answer ended. Please send it again.",
    },
    "strange": {
        "ko": "{url} 의 응답(상태 {status})이 이 서비스의 것이 아닙니다. --url을 확인하세요.",
        "en": "What {url} answered (status {status}) is not from this service. Check --url.",
    },
    "stopped": {"ko": "(멈춤)", "en": "(stopped)"},
    "cut": {
        "ko": "최대 길이에서 답이 잘렸습니다.",
        "en": "The answer was cut at its greatest length.",
    },
    "left_out": {
        "ko": "문맥이 가득 차 오래된 대화 {turns}개를 빼고 답했습니다.",
        "en": "The context is full: {turns} early turns were left out.",
    },
    "model": {"ko": "모델: {model}", "en": "model: {model}"},
    "backup": {
        "ko": "예비 모델이 답했습니다: {model}",
        "en": "a backup model answered: {model}",
    },
}
