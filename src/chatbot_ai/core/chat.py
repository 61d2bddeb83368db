"""The one pipeline: admit, load, ground, build, generate, save."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace

from chatbot_ai.core import prompt as prompts
from chatbot_ai.core.attempt import Attempt
from chatbot_ai.core.citing import checked
from chatbot_ai.core.exchange import (
    ChatEvent,
    ChatRequest,
    ContextUse,
    Delta,
    Done,
    Progress,
    Sources,
)
from chatbot_ai.core.memory import Memory
from chatbot_ai.core.prompt import PromptLengths
from chatbot_ai.core.queue import RequestQueue, Ticket
from chatbot_ai.core.record import Observer, record_of, sample_of
from chatbot_ai.core.references import Gathered, References
from chatbot_ai.core.search_query import Asked
from chatbot_ai.domain.conversation import Assistant, Message, Turn
from chatbot_ai.domain.deadline import within_deadline
from chatbot_ai.domain.errors import CallerLimited, ContextTooLong, UnknownModel
from chatbot_ai.domain.generation import (
    GenerationRequest,
    Restarted,
    TextDelta,
)
from chatbot_ai.domain.persona import Persona
from chatbot_ai.domain.ports import ChatModel, Clock, ConversationStore


class Chat:
    """One assistant's conversations.

    models maps an alias ("Llama", "gpt4.1") to a model and the persona it is told; the first is
    the assistant's own, whose slots `queue` guards. The others are elsewhere: `remote_queue` bounds
    them, so that they neither take those slots nor teach its estimate.
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
        observers: tuple[Observer, ...] = (),
        history_turns: int = 200,
        answer_tokens: int = 512,
    ) -> None:
        self.assistant = assistant
        self.models = dict(models)
        self.store = store
        self.queue, self.remote_queue = queue, remote_queue
        self.clock = clock
        self.memory = Memory(assistant, store, clock, history_turns)
        self._references = references
        self._observers = observers
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
        progress = Progress(self.clock.monotonic(), alias)
        error: BaseException | None = None
        ticket: Ticket | None = None
        key = self.memory.key(request)
        job: Attempt | None = None
        try:
            model, persona = self.model(alias)
            progress.model = model.name
            reserve = min(self._answer_tokens, model.context_tokens // 4)
            limit = model.context_tokens - reserve
            # elsewhere what conversations have in common may be cached for all of them
            room = self._room(model)
            tag = prompts.prefix_tag(key) if key and room is self.queue else ""
            who = request.persona or persona
            asked = Asked(model, self._lengths[model], who, request, limit, tag)
            job = Attempt(asked, key, progress, reserve)
            ticket = room.enter(request.caller, request.deadline, key)
            job.gathering = self._references.begin(asked, self.clock)
            async for place in room.follow(ticket):
                yield place
            progress.timings.queue_s = ticket.queue_s
            async with aclosing(self._respond(job)) as events:
                async for event in events:
                    ticket.report_tokens(progress.tokens)
                    yield event
        except BaseException as raised:
            error = raised
            raise
        finally:
            progress.timings.total_s = self.clock.monotonic() - progress.started
            if job is not None and job.gathering is not None:
                job.gathering.cancel()
            if ticket is not None:
                progress.timings.queue_s = ticket.queue_s
                room.leave(ticket, sample_of(progress))
            if error is not None and job is not None and job.was_interrupted:
                self.memory.save_interrupted(job.key_in_use, request, progress, job.again)
            self._report(progress, error)

    async def close(self) -> None:
        """Send the waiting away and wait for turns that are being stored."""
        self.queue.close()
        self.remote_queue.close()
        await self.memory.settle(3)

    def _room(self, model: ChatModel) -> RequestQueue:
        own, _ = next(iter(self.models.values()))
        return self.queue if model is own else self.remote_queue

    async def _respond(self, job: Attempt) -> AsyncGenerator[ChatEvent, None]:
        request, progress, model = job.request, job.progress, job.model
        async with within_deadline(self.clock, request.deadline, "history"):
            turns, job.again = await self.memory.before(job.key, request)
        job.sees_sources = any(turn.sources for turn in turns)
        gathered = Gathered()
        if job.again is None and job.gathering is not None:
            began = self.clock.monotonic()
            gathered = await job.gathering.result(turns)
            if request.search:
                progress.timings.search_s = self.clock.monotonic() - began
        async with within_deadline(self.clock, request.deadline, "prompt"):
            try:
                messages = await self._messages(job, turns, gathered.text)
            except ContextTooLong:
                if not gathered.has_passages:
                    raise
                gathered = gathered.without_passages()
                messages = await self._messages(job, turns, gathered.text)
        # answered again, the prompt is the same, and so are the pages that stand in it
        progress.grounded = Sources(job.again.sources, ()) if job.again else gathered.sources
        if progress.grounded.sources or (request.search and job.again is None):
            yield progress.grounded
        generation = GenerationRequest(
            messages,
            job.asked.persona.sampling.merge(request.sampling, job.reserve),
            request.deadline,
            whole=not request.stream,
            response_format=request.response_format,
        )
        request.reads(messages)
        async with aclosing(self._generate(job, generation)) as events:
            async for event in events:
                yield event
        stored: Turn | None = None
        if job.key is not None:
            stored = await self.memory.save(job.key, request, progress, job.again)
            progress.stored = True
        yield self._done(model, progress, stored)

    async def _messages(
        self, job: Attempt, turns: list[Turn], references: str
    ) -> tuple[Message, ...]:
        request, model, again = job.request, job.model, job.again
        lengths, limit = job.asked.lengths, job.asked.limit_tokens
        if request.messages:
            return await self._given(lengths, request, references, limit)
        continued = again if request.mode == "continue" else None
        built = await prompts.build(
            persona=job.asked.persona,
            character=request.character,
            turns=turns,
            text=again.input if again else request.text,
            references=references,
            limit_tokens=limit,
            count=lengths.count,
            bound=lengths.bound,
            model=model.name,
            sent=again.sent if again else None,
            begun=continued.output if continued else "",
            tag=job.asked.prefix_tag,
        )
        job.progress.prompt = built
        return built.messages

    async def _given(
        self, lengths: PromptLengths, request: ChatRequest, references: str, limit: int
    ) -> tuple[Message, ...]:
        """The caller's own messages, with references beside the last one."""
        *earlier, last = request.messages
        if references:
            last = Message(last.role, f"{last.content}\n\n{prompts.neutralize(references)}")
        messages = (*earlier, last)
        if lengths.bound(messages) > limit:
            tokens = await lengths.count(messages)
            if tokens > limit:
                raise ContextTooLong(tokens, limit)
        return messages

    async def _generate(
        self, job: Attempt, generation: GenerationRequest
    ) -> AsyncGenerator[ChatEvent, None]:
        progress, timings = job.progress, job.progress.timings
        began = self.clock.monotonic()
        stream = job.model.stream(generation)
        if job.is_checked:
            stream = checked(stream, {source.n for source in progress.grounded.sources})
        async with aclosing(stream) as events:
            async for event in events:
                match event:
                    case TextDelta():
                        if timings.first_token_s is None:
                            timings.first_token_s = self.clock.monotonic() - progress.started
                        progress.tokens += 1
                        progress.text.append(event.text)
                        yield Delta(event.text)
                    case Restarted():
                        progress.text.clear()
                        progress.tokens = 0
                        yield event
                    case _:
                        progress.finished = event
        if progress.finished is None:
            raise AssertionError("rule M1: a model's stream ends with Finished")
        if not progress.finished.backup:
            tokens = progress.finished.usage.prompt_tokens
            self._lengths[job.model].learn(generation.messages, tokens)
        timings.prefill_s = progress.finished.prefill_s
        if timings.first_token_s is not None and progress.tokens > 1:
            began = progress.started + timings.first_token_s
        timings.generation_s = progress.finished.generation_s or self.clock.monotonic() - began

    def _done(self, model: ChatModel, progress: Progress, stored: Turn | None) -> Done:
        finished, built = progress.finished, progress.prompt
        if finished is None:
            raise AssertionError("an answer is done only after it has finished")
        progress.timings.total_s = self.clock.monotonic() - progress.started
        usage = finished.usage
        return Done(
            finish_reason=finished.reason,
            model=finished.model,
            usage=usage,
            timings=replace(progress.timings),
            context=ContextUse(
                usage.prompt_tokens + usage.completion_tokens,
                model.context_tokens,
                built.left_out if built else 0,
            ),
            turn=stored.index if stored else None,
            backup=finished.backup,
            warnings=progress.grounded.warnings,
            sources=progress.grounded.sources,
        )

    def turned_away(self, error: CallerLimited) -> None:
        """Count a message that its caller's own limit kept from coming here, like every other."""
        self._report(Progress(self.clock.monotonic(), ""), error)

    def _report(self, progress: Progress, error: BaseException | None) -> None:
        record = record_of(error, progress, self.clock.now())
        for observer in self._observers:
            observer.ended(record)
