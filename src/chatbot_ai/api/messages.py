"""What callers read, in Korean and English: the one catalogue."""

from __future__ import annotations

from typing import Literal

Language = Literal["ko", "en"]

CATALOGUE: dict[str, dict[Language, str]] = {
    "malformed_json": {
        "ko": "요청 본문이 올바른 JSON이 아닙니다. JSON 문법과 Content-Type을 확인해 주세요.",
        "en": "The request body is not valid JSON. Check its syntax and the Content-Type.",
    },
    "validation_failed": {
        "ko": "요청의 일부 값이 올바르지 않습니다. fields를 확인해 주세요.",
        "en": "Some values of the request are not valid; see fields.",
    },
    "field_missing": {"ko": "꼭 필요한 값입니다.", "en": "This value is required."},
    "field_string": {"ko": "문자열이어야 합니다.", "en": "This must be a string."},
    "field_boolean": {"ko": "true 또는 false여야 합니다.", "en": "This must be true or false."},
    "field_too_short": {
        "ko": "비어 있을 수 없습니다. 한 글자 이상 입력해 주세요.",
        "en": "This must not be empty; write at least one character.",
    },
    "field_too_long": {
        "ko": "너무 깁니다. 최대 {max_length}자까지 쓸 수 있습니다.",
        "en": "This is too long; at most {max_length} characters are allowed.",
    },
    "field_db_id": {
        "ko": "UUID이거나, 영문자나 숫자로 시작하고 영문자, 숫자, -, _ 로 이루어진 "
        "64자 이하의 이름이어야 합니다.",
        "en": "This must be a UUID or a name of at most 64 letters, digits, - and _, "
        "beginning with a letter or digit.",
    },
    "field_surrogate": {
        "ko": "짝이 맞지 않는 유니코드 서로게이트가 들어 있습니다. 올바른 문자로 보내 주세요.",
        "en": "This holds an unpaired Unicode surrogate; send whole characters.",
    },
    "field_object": {"ko": "JSON 객체여야 합니다.", "en": "This must be a JSON object."},
    "field_number": {"ko": "숫자여야 합니다.", "en": "This must be a number."},
    "field_range": {
        "ko": "허용된 범위를 벗어났습니다.",
        "en": "This is outside the allowed range.",
    },
    "field_choice": {
        "ko": "쓸 수 있는 값은 {expected}입니다.",
        "en": "Possible values: {expected}.",
    },
    "field_text_only": {
        "ko": "여기서는 텍스트만 보낼 수 있습니다.",
        "en": "Only text can be sent here.",
    },
    "field_unsupported": {
        "ko": "지원하지 않는 매개변수입니다. 빼고 보내 주세요.",
        "en": "This parameter is not supported; leave it out.",
    },
    "field_nobody_speaks": {
        "ko": "user 메시지가 하나 이상 있어야 합니다.",
        "en": "There must be at least one user message.",
    },
    "field_response_format": {
        "ko": "text, json_object, json_schema 가운데 하나를 올바른 형식으로 보내 주세요.",
        "en": "This must be a well-formed text, json_object or json_schema.",
    },
    "field_schema_too_large": {
        "ko": "JSON 스키마가 너무 큽니다. 속성, 값, 깊이를 줄여 주세요.",
        "en": "The JSON schema is too large; use fewer properties, values and levels.",
    },
    "response_format_refused": {
        "ko": "모델이 이 JSON 스키마를 쓸 수 없습니다. 더 단순한 스키마를 보내 주세요.",
        "en": "The model cannot follow this JSON schema; send a simpler one.",
    },
    "model_refused_request": {
        "ko": "모델이 이 요청을 받지 않았습니다({param}). 그 값을 바꾸거나 빼고 보내 주세요.",
        "en": "The model does not take this request ({param}); change that value or leave it out.",
    },
    "field_invalid": {"ko": "올바르지 않은 값입니다.", "en": "This value is not valid."},
    "invalid_request": {
        "ko": "요청의 값이 올바르지 않습니다. fields를 확인해 주세요.",
        "en": "A value of the request is not valid; see fields.",
    },
    "invalid_choice": {
        "ko": "고를 수 없는 값입니다.",
        "en": "This value is not one of the possible ones.",
    },
    "invalid_text": {
        "ko": "올바른 유니코드 문자가 아닙니다.",
        "en": "This is not valid Unicode text.",
    },
    "conversation_exists": {
        "ko": "같은 이름의 대화가 이미 있습니다. 다른 db_id를 쓰거나 비워 두세요.",
        "en": "A conversation of that name exists. Choose another db_id or leave it out.",
    },
    "unknown_model": {
        "ko": "'{alias}' 모델은 없습니다. 사용할 수 있는 모델: {valid}.",
        "en": "There is no model '{alias}'. Valid ones: {valid}.",
    },
    "context_too_long": {
        "ko": "입력이 너무 깁니다. {tokens}토큰이 필요하지만 {limit}토큰까지만 쓸 수 있습니다. "
        "입력이나 캐릭터 설명을 줄여 주세요.",
        "en": "The input is too long: it needs {tokens} tokens and {limit} are available. "
        "Shorten the input or the character.",
    },
    "unauthorized": {
        "ko": "올바른 API 키가 필요합니다. Authorization: Bearer 헤더로 보내 주세요.",
        "en": "A valid API key is needed. Send it as Authorization: Bearer.",
    },
    "forbidden": {
        "ko": "이 키로는 할 수 없는 요청입니다. 다른 사용자의 것이거나 권한이 없습니다.",
        "en": "This key may not do that: it is another user's or needs other rights.",
    },
    "not_found": {
        "ko": "요청한 것을 찾을 수 없습니다. 주소와 ID를 확인해 주세요.",
        "en": "There is no such thing here. Check the address and the id.",
    },
    "idempotency_key_reused": {
        "ko": "이 Idempotency-Key는 다른 요청에 이미 쓰였습니다. 요청마다 새 키를 써 주세요.",
        "en": "This Idempotency-Key was used for another request; use a new one for each.",
    },
    "idempotency_key_form": {
        "ko": "Idempotency-Key는 공백 없는 ASCII 문자 1~255자여야 합니다.",
        "en": "An Idempotency-Key is 1 to 255 ASCII characters without spaces.",
    },
    "stream_expired": {
        "ko": "스트림의 그 부분은 더 이상 보관되어 있지 않습니다. 요청을 다시 보내 주세요.",
        "en": "That part of the stream is no longer kept. Send the request again.",
    },
    "stream_cancelled": {
        "ko": "답변 생성이 취소되었습니다.",
        "en": "The answer was cancelled before it was complete.",
    },
    "method_not_allowed": {
        "ko": "이 주소에서는 쓸 수 없는 메서드입니다. Allow 헤더를 확인해 주세요.",
        "en": "This method is not allowed here; see the Allow header.",
    },
    "payload_too_large": {
        "ko": "요청 본문이 너무 큽니다. 최대 {limit}바이트까지 보낼 수 있습니다.",
        "en": "The request body is too large; at most {limit} bytes are allowed.",
    },
    "rate_limited": {
        "ko": "요청이 너무 많습니다. {retry_after}초 뒤에 다시 시도해 주세요. (한도: {limit})",
        "en": "Too many requests of yours. Try again in {retry_after} s. (Limit: {limit})",
    },
    "busy": {
        "ko": "지금은 사용자가 많아 제시간에 답할 수 없습니다. "
        "{retry_after}초 뒤에 다시 시도해 주세요.",
        "en": "Too busy to answer in time. Try again in {retry_after} s.",
    },
    "deadline_exceeded": {
        "ko": "제한 시간 안에 답을 마치지 못했습니다. {retry_after}초 뒤에 다시 시도해 주세요.",
        "en": "The answer was not ready in time. Try again in {retry_after} s.",
    },
    "model_unavailable": {
        "ko": "AI 모델이 잠시 응답하지 않습니다. {retry_after}초 뒤에 다시 시도해 주세요.",
        "en": "The model does not answer at the moment. Try again in {retry_after} s.",
    },
    "model_not_configured": {
        "ko": "이 모델은 아직 설정되지 않았습니다. 관리자에게 API 키 설정을 요청해 주세요.",
        "en": "This model is not set up. Ask the operator to configure its API key.",
    },
    "model_rate_limited": {
        "ko": "외부 모델의 사용 한도에 걸렸습니다. {retry_after}초 뒤에 다시 시도해 주세요.",
        "en": "The remote model limits its rate. Try again in {retry_after} s.",
    },
    "model_protocol_error": {
        "ko": "AI 모델이 올바르게 응답하지 않았습니다. {retry_after}초 뒤에 다시 시도해 주세요.",
        "en": "The model answered incorrectly. Try again in {retry_after} s.",
    },
    "store_unavailable": {
        "ko": "대화 저장소를 잠시 쓸 수 없습니다. {retry_after}초 뒤에 다시 시도해 주세요.",
        "en": "The conversation store is unavailable. Try again in {retry_after} s.",
    },
    "search_unavailable": {
        "ko": "웹 검색을 잠시 쓸 수 없습니다.",
        "en": "Web search is unavailable at the moment.",
    },
    "search_disabled": {
        "ko": "웹 검색이 설정되어 있지 않아 검색 없이 답했습니다.",
        "en": "Web search is not set up; this answer was made without it.",
    },
    "search_empty": {
        "ko": "검색 결과가 없어 검색 없이 답했습니다.",
        "en": "The search found nothing; this answer was made without it.",
    },
    "search_left_out": {
        "ko": "찾은 자료가 대화에 들어갈 자리가 없어 검색 없이 답했습니다.",
        "en": "What was found does not fit the context; this answer was made without it.",
    },
    "search_snippets_only": {
        "ko": "원문을 읽지 못해 검색 요약만 참고했습니다.",
        "en": "No page could be read in time; only the search's excerpts were used.",
    },
    "unavailable": {
        "ko": "서비스를 잠시 쓸 수 없습니다. {retry_after}초 뒤에 다시 시도해 주세요.",
        "en": "The service is unavailable. Try again in {retry_after} s.",
    },
    "bad_request": {
        "ko": "요청을 이해할 수 없습니다. 주소와 형식을 확인해 주세요.",
        "en": "The request could not be understood. Check the address and the format.",
    },
    "configuration_error": {
        "ko": "서버 설정에 문제가 있습니다. 관리자에게 알려 주세요.",
        "en": "The server's settings are wrong. Tell the operator.",
    },
    "internal_error": {
        "ko": "서버에서 문제가 생겼습니다. 계속되면 요청 ID와 함께 관리자에게 알려 주세요.",
        "en": "Something went wrong on our side. If it lasts, tell the operator the request id.",
    },
}


def language_of(accept_language: str | None, default: Language = "ko") -> Language:
    """Korean or English, whichever an Accept-Language header prefers (RFC 9110 §12.5.4)."""
    best: tuple[float, Language] | None = None
    for part in (accept_language or "").split(","):
        tag, _, weight = part.strip().partition(";")
        primary = tag.strip().lower().partition("-")[0]
        if primary not in ("ko", "en"):
            continue
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            quality = 0.0
        if quality > 0 and (best is None or quality > best[0]):
            best = (quality, "ko" if primary == "ko" else "en")
    return best[1] if best else default


def message(key: str, language: Language, **params: object) -> str:
    """The text of `key`; an unknown key is our mistake and reads as the internal error."""
    texts = CATALOGUE.get(key) or CATALOGUE["internal_error"]
    return texts[language].format(**params)
