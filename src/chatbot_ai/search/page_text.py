"""A page's bytes into plain text, and the process that does it for page_reader.py.

`python -m chatbot_ai.search.page_text BYTES` gets no environment and no secrets, may take BYTES of
address space, and is killed when it takes too long, so a page that defeats the parser costs one
page. Frames on stdin: two big-endian 32-bit lengths, content type, body; on stdout: one length
(0xFFFFFFFF for a failure) and UTF-8 text. One empty frame on stdout says that it is ready.
"""

from __future__ import annotations

import codecs
import os
import re
import resource
import signal
import struct
import sys
from typing import BinaryIO

from chatbot_ai.domain.text import sanitize_text

#: More text than any prompt takes from one page.
MAX_TEXT_CHARS = 20_000
#: Below this, extraction found a stub and the plain text of the whole page is taken instead.
_MIN_EXTRACTED_CHARS = 80
_HEADER_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
#: Where HTML may declare its encoding (HTML standard, section 4.2.5.4: the first 1024 bytes; sites
#: exceed it).
_META_SEARCH_BYTES = 4096
_META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE
)
_XML_ENCODING = re.compile(rb"<\?xml[^>]{0,100}encoding\s*=\s*[\"']([A-Za-z0-9_.:-]+)")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Labels that mean CP949, as browsers take them (WHATWG Encoding standard, "euc-kr").
_CP949_LABELS = """
    cp949 csksc56011987 euc-kr euc_kr euckr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601
    ksc_5601 ms949 uhc windows-949 x-windows-949
"""
_KOREAN_LABELS = frozenset(_CP949_LABELS.split())
#: Declared by servers that were never told; they never fail to decode, so they come last.
_WEAK = frozenset({"ascii", "iso8859-1", "cp1252"})


def find_encoding(body: bytes, content_type: str) -> str | None:
    """Return Python's name of the encoding that byte order mark, header or page declare."""
    for mark, name in _BOMS:
        if body.startswith(mark):
            return name
    header = _HEADER_CHARSET.search(content_type)
    head = body[:_META_SEARCH_BYTES]
    meta = _META_CHARSET.search(head) or _XML_ENCODING.search(head)
    labels = [header.group(1) if header else "", meta.group(1).decode("ascii") if meta else ""]
    names = [name for name in map(_find_codec, labels) if name is not None]
    return next((name for name in names if name not in _WEAK), names[0] if names else None)


def decode(body: bytes, content_type: str) -> str:
    """Decode a page as it declares, or as it reads without errors where the declaration is wrong
    or missing: UTF-8, then CP949 (which contains EUC-KR), then whichever loses least."""
    declared = find_encoding(body, content_type)
    names = ["utf-8", "cp949"]
    if declared is not None:
        names.insert(len(names) if declared in _WEAK else 0, declared)
    for name in dict.fromkeys(names):
        try:
            return body.decode(name)
        except (UnicodeError, LookupError):
            continue
    decoded = [body.decode(name, "replace") for name in ("utf-8", "cp949")]
    return min(decoded, key=lambda text: text.count("\ufffd"))


def read_text(body: bytes, content_type: str) -> str:
    """Return the main text of a page, cleaned (domain/text.py), at most MAX_TEXT_CHARS of it; ""
    where it has none."""
    import trafilatura  # noqa: PLC0415 - half a second, and not needed by the parent

    text = decode(body, content_type)
    if content_type.partition(";")[0].strip().lower() == "text/plain":
        return _shorten(text)
    if not text.strip():
        return ""
    main = trafilatura.extract(
        text, include_comments=False, include_tables=True, deduplicate=False, favor_recall=True
    )
    if main is None or len(main) < _MIN_EXTRACTED_CHARS:
        whole = trafilatura.html2txt(text) or ""
        main = whole if len(whole) > len(main or "") else main
    return _shorten(main or "")


def _shorten(text: str) -> str:
    return sanitize_text(text[: 2 * MAX_TEXT_CHARS])[:MAX_TEXT_CHARS].rstrip()


def _find_codec(label: str) -> str | None:
    label = label.strip().lower()
    if label in _KOREAN_LABELS:
        return "cp949"
    try:
        name = codecs.lookup(label).name
        b"a".decode(name)  # Python also has codecs that are no character encodings
    except (LookupError, ValueError):
        return None
    # A page whose declaration could be read as ASCII is no UTF-16 (HTML standard, 13.2.3.2).
    return None if name.startswith(("utf-16", "utf-32")) else name


REQUEST_HEAD = struct.Struct(">II")
REPLY_HEAD = struct.Struct(">I")
FAILED = 0xFFFFFFFF
#: A page that is still read after this many seconds ends the process, also when nobody is left to
#: kill it.
_MAX_PAGE_S = 30


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests until the input ends."""

    replies.write(REPLY_HEAD.pack(0))
    replies.flush()
    while len(head := requests.read(REQUEST_HEAD.size)) == REQUEST_HEAD.size:
        type_bytes, body_bytes = REQUEST_HEAD.unpack(head)
        content_type = requests.read(type_bytes).decode("utf-8", "replace")
        body = requests.read(body_bytes)
        signal.alarm(_MAX_PAGE_S)
        try:
            text = read_text(body, content_type).encode("utf-8", "replace")
        except Exception:  # the edge of this process: whatever a page causes is one failed page
            replies.write(REPLY_HEAD.pack(FAILED))
        else:
            replies.write(REPLY_HEAD.pack(len(text)) + text)
        signal.alarm(0)
        replies.flush()


def main() -> None:
    limit_bytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not end up between the frames
    serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
