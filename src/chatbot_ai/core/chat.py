"""The one pipeline: queue, history, references, prompt, generation, storage."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime

from chatbot_ai.core.answer import ChatEvent, Sources
from chatbot_ai.core.exchange import ChatRequest, Exchange
from chatbot_ai.core.memory import Memory
from chatbot_ai.core.prompt import PromptLengths, prefix_tag
from chatbot_ai.core.queue import RequestQueue, Ticket
from chatbot_ai.core.record import record_refusal
from chatbot_ai.core.references import Gathered, Gathering, References
from chatbot_ai.core.statistics import Statistics
from chatbot_ai.domain.access import Access
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.deadline import within_deadline
from chatbot_ai.domain.errors import ContextTooLong, UnknownModel
from chatbot_ai.domain.persona import Persona
from chatbot_ai.domain.ports import ChatModel, Clock, ConversationStore


class Chat:
    """One assistant's conversations.

    models maps an alias ("Llama", "gpt4.1") to a model and its persona; the first is the
    assistant's own, whose slots `queue` guards. The others are remote: `remote_queue` limits them,
    so that they neither take those slots nor teach its estimate. Every request that ends is told to
    `statistics`, and what it cost to `access`.
    """

    def __init__(
        self,
        *,
        assistant: Assistant,
        models: Mapping[str, tuple[ChatModel, Persona]],
        store: ConversationStore,
        queue: RequestQueue,
        remote_queue: RequestQueue,
        clock: Clock,
        references: References,
        statistics: Statistics,
        history_turns: int,
        answer_tokens: int,
        access: Access | None = None,
        user_conversations_bytes: int | None = None,
    ) -> None:
        self.assistant = assistant
        self.models = dict(models)
        self.store = store
        self.queue, self.remote_queue = queue, remote_queue
        self.clock = clock
        self.memory = Memory(assistant, store, clock, history_turns, user_conversations_bytes)
        self.statistics = statistics
        self._access = access
        self._references = references
        self._answer_tokens = answer_tokens
        self._lengths = {model: PromptLengths(model) for model, _ in self.models.values()}

    def model(self, alias: str) -> tuple[ChatModel, Persona]:
        """The model behind an alias, in any case. Raises UnknownModel naming the valid ones."""
        for name, found in self.models.items():
            if name.lower() == alias.lower():
                return found
        raise UnknownModel(alias, tuple(self.models))

    async def answer(self, alias: str, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answer one message: queue positions, sources, deltas, then Done.

        Closing the iterator at any point leaves the queue or ends the generation; what a stream
        had shown by then is stored as an interrupted turn. Raises the errors of domain/errors.py.
        """
        exchange = self._open(alias, request)
        queue = self._choose_queue(exchange.model)
        ticket: Ticket | None = None
        gathering: Gathering | None = None
        error: BaseException | None = None
        try:
            await self._reserve(exchange)
            ticket = queue.enter(request.caller, request.deadline, exchange.key)
            gathering = self._references.begin(exchange, self.clock)
            async for place in queue.follow(ticket):
                yield place
            exchange.timings.queue_s = ticket.queue_s

            async with within_deadline(self.clock, request.deadline, "history"):
                await self.memory.load(exchange)
            gathered = await self._gather(exchange, gathering)
            async with within_deadline(self.clock, request.deadline, "prompt"):
                await self._build_prompt(exchange, gathered)
            if exchange.grounded.sources or (request.search and exchange.revised is None):
                yield exchange.grounded

            await self._reserve(exchange)
            began = self.clock.monotonic()
            async with aclosing(exchange.model.stream(exchange.start_generation())) as events:
                async for event in events:
                    shown = exchange.feed(event, self.clock.monotonic())
                    if shown is not None:
                        ticket.report_tokens(exchange.tokens)
                        yield shown
            exchange.end_generation(began, self.clock.monotonic())

            stored = await self.memory.save(exchange) if exchange.key is not None else None
            yield exchange.finish(stored, self.clock.monotonic())
        except BaseException as raised:
            error = raised
            raise
        finally:
            exchange.timings.total_s = self.clock.monotonic() - exchange.started
            if gathering is not None:
                gathering.cancel()
            if ticket is not None:
                exchange.timings.queue_s = ticket.queue_s
                queue.leave(ticket, exchange.to_sample())
            if error is not None and exchange.was_interrupted:
                self.memory.save_interrupted(exchange)
            if self._access is not None and request.principal is not None:
                self._access.spent(request.principal, exchange.cost_tokens(error))
            self.statistics.observe(exchange.to_record(error, self.clock.now()))

    def local_time(self) -> datetime:
        """The time in the zone of the team."""
        return self._references.local_time(self.clock)

    async def close(self) -> None:
        """Refuse those who wait and wait for turns that are being stored."""
        self.queue.close()
        self.remote_queue.close()
        await self.memory.settle(3)

    def _open(self, alias: str, request: ChatRequest) -> Exchange:
        try:
            model, persona = self.model(alias)
        except UnknownModel as error:
            self.statistics.observe(record_refusal(error, alias, self.clock.now()))
            raise
        key = self.memory.find_key(request)
        persona = request.persona or persona
        answer_tokens = min(self._answer_tokens, model.context_tokens // 4)
        # a remote model may cache what all conversations have in common
        is_tagged = key is not None and self._choose_queue(model) is self.queue
        return Exchange(
            request=request,
            model=model,
            persona=persona,
            lengths=self._lengths[model],
            answer_tokens=answer_tokens,
            limit_tokens=model.context_tokens - answer_tokens,
            started=self.clock.monotonic(),
            key=key,
            prefix_tag=prefix_tag(key, persona.texts) if key is not None and is_tagged else "",
        )

    def _choose_queue(self, model: ChatModel) -> RequestQueue:
        own, _ = next(iter(self.models.values()))
        return self.queue if model is own else self.remote_queue

    async def _gather(self, exchange: Exchange, gathering: Gathering) -> Gathered:
        """The references; a revised turn has them in its prompt already."""
        if exchange.revised is not None:
            return Gathered()
        began = self.clock.monotonic()
        gathered = await gathering.result(exchange.turns)
        if exchange.request.search:
            exchange.timings.search_s = self.clock.monotonic() - began
        return gathered

    async def _build_prompt(self, exchange: Exchange, gathered: Gathered) -> None:
        """With the references, or without the web passages where those do not fit."""
        try:
            await exchange.build_prompt(gathered.text)
        except ContextTooLong:
            if not gathered.has_passages:
                raise
            gathered = gathered.without_passages()
            await exchange.build_prompt(gathered.text)
        revised = exchange.revised
        exchange.grounded = Sources(revised.sources, ()) if revised else gathered.sources

    async def _reserve(self, exchange: Exchange) -> None:
        """Tell what the exchange may cost, as far as that is known. Raises CallerLimited."""
        principal = exchange.request.principal
        if self._access is not None and principal is not None:
            await self._access.reserve(principal, exchange.most_tokens)
