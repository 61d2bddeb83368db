"""What nginx itself answers, by status: code, Korean and English sentence.

The services word their own errors (api/messages.py); these are for requests that never reach one.
"""

from __future__ import annotations

from typing import NamedTuple


class GatewayMessage(NamedTuple):
    """`code` is stable and machine-readable, like the services' codes."""

    code: str
    ko: str
    en: str


GATEWAY_MESSAGES: dict[int, GatewayMessage] = {
    400: GatewayMessage(
        "bad_request",
        "요청의 형식이 올바르지 않습니다.",
        "The request is malformed.",
    ),
    401: GatewayMessage(
        "unauthorized",
        "운영자 키가 필요합니다.",
        "An operator's key is needed.",
    ),
    403: GatewayMessage(
        "forbidden",
        "이 주소에는 접근할 수 없습니다.",
        "This address may not be accessed.",
    ),
    404: GatewayMessage(
        "not_found",
        "요청하신 주소를 찾을 수 없습니다.",
        "There is nothing at this address.",
    ),
    405: GatewayMessage(
        "method_not_allowed",
        "이 주소에서는 지원하지 않는 요청 방식입니다.",
        "This address does not support that method.",
    ),
    411: GatewayMessage(
        "length_required",
        "요청 본문의 길이(Content-Length)를 알려 주세요.",
        "The request must say how long its body is (Content-Length).",
    ),
    413: GatewayMessage(
        "payload_too_large",
        "요청 본문이 너무 큽니다. 내용을 줄여 다시 보내 주세요.",
        "The request body is too large. Please shorten it and try again.",
    ),
    414: GatewayMessage(
        "uri_too_long",
        "요청 주소가 너무 깁니다.",
        "The request address is too long.",
    ),
    429: GatewayMessage(
        "rate_limited",
        "요청이 너무 잦습니다. 잠시 후 다시 시도해 주세요.",
        "Too many requests. Please try again in a moment.",
    ),
    431: GatewayMessage(
        "headers_too_large",
        "요청 헤더가 너무 큽니다.",
        "The request headers are too large.",
    ),
    500: GatewayMessage(
        "internal_error",
        "게이트웨이에서 오류가 발생했습니다. 요청 번호와 함께 관리자에게 알려 주세요.",
        "The gateway failed. Please give the operator the request id.",
    ),
    503: GatewayMessage(
        "service_unavailable",
        "서비스가 잠시 응답하지 않습니다. 잠시 후 다시 시도해 주세요.",
        "The service is not available right now. Please try again shortly.",
    ),
}

#: For a status that nginx may invent and that has no row of its own.
OTHER_MESSAGE = GatewayMessage(
    "bad_request",
    "요청을 처리할 수 없습니다.",
    "The request cannot be handled.",
)

#: Our codes that OpenAI's clients know by another name.
OPENAI_CODES = {"rate_limited": "rate_limit_exceeded"}
