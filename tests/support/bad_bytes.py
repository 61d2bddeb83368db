"""Bytes that no proper caller sends: bodies that are no JSON, requests that are no HTTP."""

from __future__ import annotations

NOT_JSON: dict[str, bytes] = {
    "empty": b"",
    "words": b"hello",
    "half": b'{"input_data": "hello"',
    "single quotes": b"{'input_data': 'hello'}",
    "trailing comma": b'{"input_data": "hello",}',
    "form": b"input_data=hello",
    "not UTF-8": b'{"input_data": "\xff\xfe\xc3\x28"}',
    "UTF-16 without mark": '{"input_data": "안녕"}'.encode("utf-16-le")[1:],
    "raw control character": b'{"input_data": "a\x00b"}',
    "deep list": b"[" * 30_000,
    "deep object": b'{"input_data": ' + b'{"a": ' * 5_000 + b"1" + b"}" * 5_001,
    "endless number": b'{"input_data": "hello", "extra": ' + b"9" * 6_000 + b"}",
}

HEAD = b"POST /office/Llama HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
MALFORMED: dict[str, bytes] = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "unknown version": b"GET /office/Llama HTTP/9.9\r\n\r\n",
    "no host": b"POST /office/Llama HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "length is no number": HEAD + b"Content-Length: ten\r\n\r\n{}",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n{}",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size is no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "nul in header": HEAD + b"X-A: a\x00b\r\n\r\n",
    "blank before colon": HEAD + b"X-A : b\r\nContent-Length: 2\r\n\r\n{}",
}
