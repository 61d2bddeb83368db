"""Time to first token late in a conversation against early in it, with others interleaved.

    python -m bench.multi_turn [--conversations 9] [--turns 20] [--json FILE]

Nine conversations on four slots take their turns one after the other, all with the same card, as
guests of one character: every turn meets slots that others have used since, and that look like its
own for most of the prompt. Per conversation: turn 20 / turn 2.
"""

from __future__ import annotations

import asyncio

import httpx2

from bench.claims import Claim, arguments, paired, percentile, report
from bench.stack import stack
from bench.talk import CARD, Answer, ask


async def measure(url: str, conversations: int, turns: int) -> list[list[Answer]]:
    """answers[turn][conversation], turn by turn through all conversations."""
    answers: list[list[Answer]] = []
    async with httpx2.AsyncClient(trust_env=False, timeout=300) as client:
        for turn in range(turns):
            row = []
            for number in range(conversations):
                text = f"Turn {turn}: tell me one more thing about dish number {number}."
                row.append(
                    await ask(
                        client,
                        url,
                        text,
                        user=f"guest{number}",
                        conversation="voyage",
                        card=CARD,
                    )
                )
            answers.append(row)
    return answers


def claims_of(answers: list[list[Answer]]) -> list[Claim]:
    last, second = answers[-1], answers[1]
    later = [a for row in answers[1:] for a in row]
    shares = [a.cached_tokens / a.prompt_tokens for a in later]
    return [
        paired(
            f"time to first token, turn {len(answers)} / turn 2",
            [a.first_token_s for a in last],
            [a.first_token_s for a in second],
            goal="<= 1.3",
            unit="conversations",
            detail=f"{len(last)} conversations interleaved on 4 slots; medians "
            f"{percentile([a.first_token_s for a in last], 0.5) * 1000:.0f} ms and "
            f"{percentile([a.first_token_s for a in second], 0.5) * 1000:.0f} ms",
        ),
        Claim(
            "least share of a prompt from the cache, turn 2 and later",
            min(shares),
            min(shares),
            max(shares),
            len(shares),
            "answers",
            ">= 0.9",
            f"prompts of up to {max(a.prompt_tokens for a in later)} tokens, one card for all, "
            f"median {percentile(shares, 0.5):.3f}",
            kind="share",
        ),
    ]


def main() -> None:
    parser = arguments("Time to first token late in a conversation against early in it.")
    parser.add_argument("--conversations", type=int, default=9)
    parser.add_argument("--turns", type=int, default=20)
    chosen = parser.parse_args()
    with stack(
        CHARACTER_MAX_CONCURRENT="3",
        OFFICE_MAX_CONCURRENT="1",
        CHATBOT_CONTEXT_TOKENS="4096",
        CHATBOT_ANSWER_TOKENS="16",
        CHATBOT_HOST_CACHE_MIB="1024",
    ) as running:
        answers = asyncio.run(measure(running.url, chosen.conversations, chosen.turns))
    report(claims_of(answers), chosen.json)


if __name__ == "__main__":
    main()
