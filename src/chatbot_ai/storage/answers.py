"""Changing the answers of a stored turn: the same in every store but for how it is written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from chatbot_ai.domain.conversation import ConversationKey, Turn, TurnAnswer
from chatbot_ai.storage.records import checked_answer, checked_choice, with_answer, with_replaced

Answers = tuple[TurnAnswer, ...]


class AnswersInOneStep(ABC):
    """Rule S9 of ConversationStore, for a store that can change a turn's answers in one step."""

    @abstractmethod
    async def _change(
        self,
        key: ConversationKey,
        index: int,
        change: Callable[[Answers], tuple[Answers, int]],
        turn_id: str | None = None,
    ) -> Turn:
        """Write the answers and the choice that `change` makes of the stored answers.

        Raises NotFound where there is no turn `index`, or it has not the id `turn_id`.
        """

    async def add_answer(self, key: ConversationKey, turn: Turn, answer: TurnAnswer) -> Turn:
        new = checked_answer(answer)
        return await self._change(
            key, turn.index, lambda answers: with_answer(answers, new), turn.turn_id
        )

    async def replace_answer(self, key: ConversationKey, turn: Turn, answer: TurnAnswer) -> Turn:
        new = checked_answer(answer)
        return await self._change(
            key,
            turn.index,
            lambda answers: with_replaced(answers, turn.selected, new),
            turn.turn_id,
        )

    async def select_output(self, key: ConversationKey, index: int, selected: int) -> Turn:
        return await self._change(
            key, index, lambda answers: (answers, checked_choice(selected, len(answers)))
        )
