"""What the `keys` commands say, in Korean and English."""

from __future__ import annotations

from typing import Final

from chatbot_ai.cli.language import Catalogue

TEXTS: Final[Catalogue] = {
    "created": {
        "ko": "키 {id} 를 만들었습니다. 아래 키는 지금 한 번만 보여 드리니 안전한 곳에 두세요.",
        "en": "Created key {id}. The key below is shown this once only; keep it safe.",
    },
    "first": {
        "ko": "이제부터 이 컴퓨터를 포함해 모든 호출에 키가 필요합니다.",
        "en": "From now on every call needs a key, from this machine too.",
    },
    "usage": {
        "ko": '사용법: curl -H "Authorization: Bearer 키" …',
        "en": 'Use it: curl -H "Authorization: Bearer KEY" …',
    },
    "user_needed": {
        "ko": "사용자 키에는 1~50자의 --user 가, 백엔드 키에는 --user 없음이 필요합니다.",
        "en": "A user key needs --user of 1 to 50 characters; a backend key speaks for anybody "
        "and takes none.",
    },
    "name_wrong": {
        "ko": "키 이름이 올바른 유니코드 문자가 아닙니다.",
        "en": "The key's name is not valid Unicode text.",
    },
    "none": {
        "ko": "키가 없습니다. 이 컴퓨터에서 오는 호출만 받습니다.",
        "en": "There are no keys: only this machine may call.",
    },
    "revoked": {
        "ko": "{id}: 폐기했습니다. 실행 중인 서비스도 2초 안에 거절합니다.",
        "en": "{id}: revoked. Running services refuse it within two seconds.",
    },
    "deleted": {"ko": "{id}: 지웠습니다.", "en": "{id}: deleted."},
    "opened": {
        "ko": "남은 키가 없습니다. 이제 이 컴퓨터에서는 키 없이 호출할 수 있습니다.",
        "en": "No key is left: this machine may call without one again.",
    },
    "unknown": {
        "ko": "{id}: 그런 키가 없습니다. `chatbot-ai keys list` 로 확인하세요.",
        "en": "{id}: there is no such key; see `chatbot-ai keys list`.",
    },
    "confirm": {"ko": "지울까요? {id} ({name})", "en": "Delete {id} ({name})?"},
    "id": {"ko": "키", "en": "Key"},
    "name": {"ko": "이름", "en": "Name"},
    "kind": {"ko": "종류", "en": "Kind"},
    "user": {"ko": "사용자", "en": "User"},
    "rpm": {"ko": "분당 요청", "en": "Requests/min"},
    "tokens": {"ko": "오늘 토큰", "en": "Tokens today"},
    "concurrent": {"ko": "동시", "en": "At once"},
    "made": {"ko": "만든 때", "en": "Created"},
    "used": {"ko": "마지막 사용", "en": "Last used"},
    "state": {"ko": "상태", "en": "State"},
    "active": {"ko": "사용 중", "en": "active"},
    "off": {"ko": "폐기됨", "en": "revoked"},
    "backend": {"ko": "백엔드", "en": "backend"},
    "user_kind": {"ko": "사용자", "en": "user"},
}
