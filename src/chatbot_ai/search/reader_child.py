"""The process that reads pages for reader.py: `python -m chatbot_ai.search.reader_child BYTES`.

It gets no environment and no secrets, may take BYTES of address space, and is killed when it takes
too long, so a page that defeats the parser costs one page. Frames on stdin: two big-endian 32-bit
lengths, content type, body; on stdout: one length (0xFFFFFFFF for a failure) and UTF-8 text. One
empty frame on stdout says that it is ready.
"""

from __future__ import annotations

import os
import resource
import signal
import struct
import sys
from typing import BinaryIO

REQUEST_HEAD = struct.Struct(">II")
REPLY_HEAD = struct.Struct(">I")
FAILED = 0xFFFFFFFF
#: A page that is still read after this many seconds ends the process, also when nobody is left to
#: kill it.
_MAX_PAGE_S = 30


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests until the input ends."""
    from chatbot_ai.search.reading import page_text  # noqa: PLC0415  after the limit is set

    replies.write(REPLY_HEAD.pack(0))
    replies.flush()
    while len(head := requests.read(REQUEST_HEAD.size)) == REQUEST_HEAD.size:
        type_bytes, body_bytes = REQUEST_HEAD.unpack(head)
        content_type = requests.read(type_bytes).decode("utf-8", "replace")
        body = requests.read(body_bytes)
        signal.alarm(_MAX_PAGE_S)
        try:
            text = page_text(body, content_type).encode("utf-8", "replace")
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
