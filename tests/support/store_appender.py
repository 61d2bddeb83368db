"""A process of its own that appends turns: address, prefix, count, tasks."""

import asyncio
import json
import sys

from support.conversation_stores import KEY, Address, new_turn


async def main(address: str, prefix: str, count: str, tasks: str) -> None:
    store = Address(**json.loads(address)).store()
    await store.open()

    async def append(task: int) -> None:
        for number in range(int(count)):
            turn = await store.append(KEY, new_turn(f"{prefix}-{task}-{number}"))
            sys.stdout.write(turn.turn_id + "\n")
            sys.stdout.flush()

    await asyncio.gather(*(append(task) for task in range(int(tasks))))
    await store.close()


asyncio.run(main(*sys.argv[1:]))
