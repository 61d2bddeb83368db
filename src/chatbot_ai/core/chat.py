"""The one pipeline: admit, load, ground, build, generate, save."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace

import structlog

from chatbot_ai.core import prompt as prompts
from chatbot_ai.core.admission import Admission
from chatbot_ai.core.deadline import bounded
from chatbot_ai.core.exchange import ChatEvent, ChatRequest, ContextUse, Delta, Done, Progress
from chatbot_ai.core.lengths import PromptLengths
from chatbot_ai.core.memory import Memory
from chatbot_ai.core.outcome import record_of, sample_of
from chatbot_ai.core.references import References
from chatbot_ai.core.stats import Observer
from chatbot_ai.core.ticket import Ticket
from chatbot_ai.domain.citations import CitationFilter
from chatbot_ai.domain.conversation import Assistant, ConversationKey, Message, Turn
from chatbot_ai.domain.errors import ContextTooLong, UnknownModel
from chatbot_ai.domain.generation import (
    GenerationRequest,
    Restarted,
    Sampling,
    TextDelta,
)
from chatbot_ai.domain.persona import Persona
from chatbot_ai.domain.ports import ChatModel, Clock, ConversationStore

log = structlog.get_logger()


class Chat:
    """One assistant's conversations.

    models maps an alias ("Llama", "gpt4.1") to a model and the persona it is told; the first is
    the assistant's own, whose slots `admission` guards. The others are elsewhere: `remote` bounds
    them, so that they neither take those slots nor teach its estimate.
    """

    def __init__(
        self,
        *,
        assistant: Assistant,
        models: Mapping[str, tuple[ChatModel, Persona]],
        store: ConversationStore,
        admission: Admission,
        remote: Admission,
        clock: Clock,
        references: References,
        observers: tuple[Observer, ...] = (),
        history_turns: int = 200,
        answer_tokens: int = 512,
    ) -> None:
        self.assistant = assistant
        self.models = dict(models)
        self.store = store
        self.admission, self.remote = admission, remote
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
        job: _Job | None = None
        try:
            model, persona = self.model(alias)
            progress.model = model.name
            job = _Job(model, request.persona or persona, key, request, progress)
            ticket = self._room(model).enter(request.caller, request.deadline, key)
            async for place in ticket.positions():
                yield place
            progress.timings.queue_s = ticket.queue_s
            async with aclosing(self._respond(job)) as events:
                async for event in events:
                    ticket.progressed(progress.tokens)
                    yield event
        except BaseException as raised:
            error = raised
            raise
        finally:
            progress.timings.total_s = self.clock.monotonic() - progress.started
            if ticket is not None:
                progress.timings.queue_s = ticket.queue_s
                ticket.release(sample_of(progress))
            if error is not None and job is not None and job.was_interrupted:
                self.memory.save_interrupted(job.key_in_use, request, progress, job.again)
            self._report(progress, error)

    async def close(self) -> None:
        """Send the waiting away and wait for turns that are being stored."""
        self.admission.close()
        self.remote.close()
        await self.memory.settle(3)

    def _room(self, model: ChatModel) -> Admission:
        own, _ = next(iter(self.models.values()))
        return self.admission if model is own else self.remote

    async def _respond(self, job: _Job) -> AsyncGenerator[ChatEvent, None]:
        request, progress, model = job.request, job.progress, job.model
        async with bounded(self.clock, request.deadline, "history"):
            turns, job.again = await self.memory.before(job.key, request)
        reserve = min(self._answer_tokens, model.context_tokens // 4)
        references = ""
        if job.again is None:
            began = self.clock.monotonic()
            references, progress.grounded = await self._references.gather(
                model, request, turns, self.clock
            )
            if request.search:
                progress.timings.search_s = self.clock.monotonic() - began
                yield progress.grounded
        async with bounded(self.clock, request.deadline, "prompt"):
            limit = model.context_tokens - reserve
            messages = await self._messages(job, turns, references, limit)
        generation = GenerationRequest(
            messages,
            _merged(job.persona.sampling, request.sampling, reserve),
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
        self, job: _Job, turns: list[Turn], references: str, limit: int
    ) -> tuple[Message, ...]:
        request, model, again = job.request, job.model, job.again
        lengths = self._lengths[model]
        if request.messages:
            return await self._given(lengths, request, references, limit)
        continued = again if request.mode == "proceed" else None
        built = await prompts.build(
            persona=job.persona,
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
        )
        job.progress.prompt = built
        return built.messages

    async def _given(
        self, lengths: PromptLengths, request: ChatRequest, references: str, limit: int
    ) -> tuple[Message, ...]:
        """The caller's own messages, with references beside the last one."""
        *earlier, last = request.messages
        if references:
            last = Message(last.role, f"{last.content}\n\n{references}")
        messages = (*earlier, last)
        if lengths.bound(messages) > limit:
            tokens = await lengths.count(messages)
            if tokens > limit:
                raise ContextTooLong(tokens, limit)
        return messages

    async def _generate(
        self, job: _Job, generation: GenerationRequest
    ) -> AsyncGenerator[ChatEvent, None]:
        request, progress = job.request, job.progress
        timings = progress.timings
        began = self.clock.monotonic()
        # only a grounded answer has numbers to check; others pass as they are
        checks = CitationFilter(len(progress.grounded.sources)) if request.search else None
        async with aclosing(job.model.stream(generation)) as events:
            async for event in events:
                match event:
                    case TextDelta():
                        if timings.first_token_s is None:
                            timings.first_token_s = self.clock.monotonic() - progress.started
                        progress.tokens += 1
                        text = checks.feed(event.text) if checks else event.text
                        if text:
                            progress.text.append(text)
                            yield Delta(text)
                    case Restarted():
                        progress.text.clear()
                        progress.tokens = 0
                        if checks:
                            checks = CitationFilter(len(progress.grounded.sources))
                        yield event
                    case _:
                        if checks and (rest := checks.finish()):
                            progress.text.append(rest)
                            yield Delta(rest)
                        progress.finished = event
        if progress.finished is None:
            raise AssertionError("rule M1: a model's stream ends with Finished")
        if not progress.finished.backup:
            tokens = progress.finished.usage.prompt_tokens
            self._lengths[job.model].learn(generation.messages, tokens)
        timings.prefill_s = progress.finished.prefill_s
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

    def _report(self, progress: Progress, error: BaseException | None) -> None:
        record = record_of(error, progress, self.clock.now())
        for observer in self._observers:
            observer.ended(record)
        log.info("chat.finished", assistant=self.assistant, **record.log_fields())


@dataclass(slots=True)
class _Job:
    """One exchange under way; `again` is the turn that is answered anew, if it is one."""

    model: ChatModel
    persona: Persona
    key: ConversationKey | None
    request: ChatRequest
    progress: Progress
    again: Turn | None = None

    @property
    def was_interrupted(self) -> bool:
        """Whether a stream with memory has shown something that is not stored yet."""
        return (
            self.key is not None
            and self.request.stream
            and bool(self.progress.text)
            and self.progress.finished is None
        )

    @property
    def key_in_use(self) -> ConversationKey:
        if self.key is None:
            raise AssertionError("only a conversation with memory can be interrupted")
        return self.key


def _merged(persona: Sampling, wished: Sampling, reserve: int) -> Sampling:
    own = {n: getattr(persona, n) for n in Sampling.__dataclass_fields__}
    over = {n: getattr(wished, n) for n in Sampling.__dataclass_fields__}
    merged = Sampling(**{n: over[n] if over[n] not in (None, ()) else own[n] for n in own})
    limit = min(merged.max_tokens or reserve, reserve)
    return replace(merged, max_tokens=limit)
