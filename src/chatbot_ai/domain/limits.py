"""How much a caller may send. Every limit that a caller can meet stands here, and nowhere else;
`GET /limits` publishes them under the same names in lower case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Characters of one message. Source: the API contract, as are the next two.
INPUT_DATA_CHARS = 500
USER_ID_CHARS = 50
DB_ID_CHARS = 64
#: Characters of a conversation's title, and of what a list of conversations is searched for.
TITLE_CHARS = 200
SEARCH_CHARS = 100
#: Entries of one page of conversations or turns, and of characters.
PAGE_ENTRIES = 200
PAGE_CHARACTERS = 100
#: Characters of what describes a character, sent with a message or stored.
CHARACTER_NAME_CHARS = 200
GREETING_CHARS = 20_000
CONTEXT_CHARS = 40_000
#: Characters of what a stored character calls the user.
USER_NAME_CHARS = 100
#: Greetings of a stored character besides its first one that can be edited.
ALTERNATE_GREETINGS = 50
#: The highest number of a greeting; cards may bring more of them than can be edited.
GREETING_INDEX = 10_000
#: Characters that one user may keep, so that no user fills the disk.
CHARACTERS = 500
#: The body of a request that brings a card or a picture.
UPLOAD_BYTES = 8 << 20
#: Seconds in which a whole body must have come.
BODY_TIMEOUT_S = 60.0
#: Bytes of bodies that a service holds at once, and those of one caller (its key or address).
#: A larger body is taken where no other is held.
HELD_BYTES = 32 << 20
CALLER_HELD_BYTES = 16 << 20
#: Characters of a model's alias; of the name, and of the `user`, that OpenAI's clients send.
MODEL_ALIAS_CHARS = 100
OPENAI_MODEL_CHARS = 200
OPENAI_USER_CHARS = 256
#: Objects and arrays of one JSON body together; each costs some 100 bytes and a microsecond.
JSON_NODES = 50_000
#: Messages of one request of OpenAI's clients, and text parts of one message.
MESSAGES = 2_000
#: Stop strings of one request. The engine looks for each in every piece; OpenAI's models take 4 and
#: say so themselves.
STOP_STRINGS = 64
#: What a JSON schema for an answer may hold: names of an object, entries of a list, those of `enum`
#: and `required`, all together, levels, characters, and bytes of all names on the way to a part
#: (16 kB end llama.cpp). What only people read (`description`) does not count.
SCHEMA_NAMES = 128
SCHEMA_LIST = 128
SCHEMA_LITERALS = 1000
SCHEMA_VALUES = 4096
SCHEMA_DEPTH = 32
SCHEMA_CHARS = 32_768
SCHEMA_NAME_BYTES = 2000
#: What it may cost the engine, see domain/grammar_cost.py: parts that are visited, the grammar's
#: size, and ways in which the text can be read at once. Measured: bench/hostile_grammar.py.
SCHEMA_VISITS = 1024
SCHEMA_SIZE = 100_000
SCHEMA_WAYS = 64
#: Characters of one pattern and of all different ones, and how much the check itself may do: it
#: holds the event loop, by less than 50 ms of processor time.
SCHEMA_PATTERN_CHARS = 1000
SCHEMA_PATTERNS_CHARS = 2000
SCHEMA_WORK = 32_768
#: Characters of an Idempotency-Key.
IDEMPOTENCY_KEY_CHARS = 255

LimitName = Literal["requests_per_minute", "tokens_per_day", "concurrent_requests"]


@dataclass(frozen=True, slots=True)
class LimitState:
    """What is left of one limit of a caller's own; `reset_s` seconds until there is more."""

    name: LimitName
    limit: int
    remaining: int
    reset_s: float
