"""The one pipeline: admit, load, ground, build, generate, save."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import structlog

from chatbot_ai.core import prompt as prompts
from chatbot_ai.core.admission import Admission, QueuePosition, Ticket
from chatbot_ai.core.estimate import ServiceSample
from chatbot_ai.core.outcome import record_of
from chatbot_ai.core.stats import Observer
from chatbot_ai.domain.conversation import Assistant, ConversationKey, NewTurn, Turn
from chatbot_ai.domain.errors import DeadlineExceeded, UnknownModel
from chatbot_ai.domain.generation import (
    Finished,
    GenerationRequest,
    Restarted,
    Sampling,
    TextDelta,
    Usage,
)
from chatbot_ai.domain.persona import Character, Persona
from chatbot_ai.domain.ports import ChatModel, Clock, ConversationStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One message to an assistant.

    user, db_id  both given: the conversation has memory; else the call is stateless
    caller       whom the queue is fair to: the user, else the address
    deadline     on the monotonic clock, in seconds; everything until the answer is stored
    stream       deltas are shown as they come, so nothing can be generated anew after the first
    """

    text: str
    caller: str
    deadline: float
    user_id: str | None = None
    db_id: str | None = None
    character: Character | None = None
    search: bool = False
    stream: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    turn_id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the answer."""

    text: str


@dataclass(slots=True)
class Timings:
    """Seconds since the request arrived; None where it has not come to that."""

    queue_s: float = 0.0
    search_s: float = 0.0
    prefill_s: float = 0.0
    first_token_s: float | None = None
    generation_s: float = 0.0
    total_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ContextUse:
    """Tokens of the context this answer used, the limit, and how many turns were left out."""

    used_tokens: int
    limit_tokens: int
    turns_left_out: int


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete and, with memory, stored as turn number `turn`."""

    finish_reason: str
    model: str
    usage: Usage
    timings: Timings
    context: ContextUse
    turn: int | None
    backup: bool = False
    warnings: tuple[str, ...] = ()


ChatEvent = QueuePosition | Delta | Restarted | Done


@dataclass(slots=True)
class Progress:
    """What an answer has come to; read when it ends, however it ends."""

    started: float
    model: str
    timings: Timings = field(default_factory=Timings)
    text: list[str] = field(default_factory=list)
    tokens: int = 0
    finished: Finished | None = None
    prompt: prompts.Prompt | None = None
    stored: bool = False


class Chat:
    """One assistant's conversations.

    models maps an alias ("Llama", "gpt4.1") to a model and the persona it is told; the first is
    the assistant's own, whose slots the admission guards.
    """

    def __init__(
        self,
        *,
        assistant: Assistant,
        models: Mapping[str, tuple[ChatModel, Persona]],
        store: ConversationStore,
        admission: Admission,
        clock: Clock,
        observers: tuple[Observer, ...] = (),
        history_turns: int = 200,
        answer_tokens: int = 512,
    ) -> None:
        self.assistant = assistant
        self.models = dict(models)
        self.store = store
        self.admission = admission
        self.clock = clock
        self._observers = observers
        self._history_turns = history_turns
        self._answer_tokens = answer_tokens
        self._saving: set[asyncio.Task[Turn]] = set()

    def model(self, alias: str) -> tuple[ChatModel, Persona]:
        """The model behind an alias, in any case. Raises UnknownModel naming the valid ones."""
        for name, found in self.models.items():
            if name.lower() == alias.lower():
                return found
        raise UnknownModel(alias, tuple(self.models))

    async def answer(self, alias: str, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answer one message: queue positions, deltas, then Done.

        Closing the iterator at any point leaves the queue or ends the generation; what a stream
        had shown by then is stored as an interrupted turn. Raises the errors of domain/errors.py.
        """
        progress = Progress(self.clock.monotonic(), alias)
        error: BaseException | None = None
        ticket: Ticket | None = None
        try:
            model, persona = self.model(alias)
            progress.model = model.name
            key = self._key(request)
            ticket = self.admission.enter(request.caller, request.deadline, key)
            async for place in ticket.positions():
                yield place
            progress.timings.queue_s = ticket.queue_s
            async with aclosing(self._generate(model, persona, key, request, progress)) as events:
                async for event in events:
                    ticket.tokens_done = progress.tokens
                    yield event
        except BaseException as raised:
            error = raised
            raise
        finally:
            progress.timings.total_s = self.clock.monotonic() - progress.started
            if ticket is not None:
                ticket.release(_sample(progress))
            self._keep_interrupted(request, progress, error)
            self._report(progress, error)

    async def close(self) -> None:
        """Send the waiting away and wait for turns that are being stored."""
        self.admission.close()
        if self._saving:
            await asyncio.wait(self._saving, timeout=3)

    def _key(self, request: ChatRequest) -> ConversationKey | None:
        if request.user_id and request.db_id:
            return ConversationKey(self.assistant, request.user_id, request.db_id)
        return None

    async def _generate(
        self,
        model: ChatModel,
        persona: Persona,
        key: ConversationKey | None,
        request: ChatRequest,
        progress: Progress,
    ) -> AsyncGenerator[Delta | Restarted | Done, None]:
        timings = progress.timings
        async with self._bounded(request.deadline, "history"):
            turns = await self.store.recent_turns(key, self._history_turns) if key else []
        reserve = min(self._answer_tokens, model.context_tokens // 4)
        async with self._bounded(request.deadline, "prompt"):
            built = await prompts.build(
                persona=persona,
                character=request.character,
                turns=turns,
                text=request.text,
                references="",
                limit_tokens=model.context_tokens - reserve,
                count=model.count_tokens,
            )
        progress.prompt = built
        sampling = _merged(persona.sampling, request.sampling, reserve)
        began = self.clock.monotonic()
        generation = GenerationRequest(
            built.messages, sampling, request.deadline, whole=not request.stream
        )
        async with aclosing(model.stream(generation)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    if timings.first_token_s is None:
                        timings.first_token_s = self.clock.monotonic() - progress.started
                    progress.tokens += 1
                    progress.text.append(event.text)
                    yield Delta(event.text)
                elif isinstance(event, Restarted):
                    progress.text.clear()
                    progress.tokens = 0
                    yield event
                else:
                    progress.finished = event
        finished = progress.finished
        if finished is None:
            raise AssertionError("rule M1: a model's stream ends with Finished")
        timings.prefill_s = finished.prefill_s
        timings.generation_s = finished.generation_s or self.clock.monotonic() - began
        stored: Turn | None = None
        if key is not None:
            turn = self._turn(request, progress, finished.model)
            stored = await self._save(key, turn)
            progress.stored = True
        timings.total_s = self.clock.monotonic() - progress.started
        usage = finished.usage
        yield Done(
            finish_reason=finished.reason,
            model=finished.model,
            usage=usage,
            timings=replace(timings),
            context=ContextUse(
                usage.prompt_tokens + usage.completion_tokens, model.context_tokens, built.left_out
            ),
            turn=stored.index if stored else None,
            backup=finished.backup,
        )

    def _turn(self, request: ChatRequest, progress: Progress, model: str) -> NewTurn:
        built = progress.prompt
        if built is None:
            raise AssertionError("a turn is stored only after its prompt was built")
        return NewTurn(
            turn_id=request.turn_id,
            input=request.text,
            output="".join(progress.text),
            model=model,
            created_at=self.clock.now(),
            status="complete" if progress.finished else "interrupted",
            sent=built.sent if built.sent != request.text else None,
            window_start=built.window_start,
        )

    async def _save(self, key: ConversationKey, turn: NewTurn) -> Turn:
        # shielded: a caller that leaves while its answer is being stored does not tear the write
        task = asyncio.create_task(self.store.append(key, turn))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)
        return await asyncio.shield(task)

    def _keep_interrupted(
        self, request: ChatRequest, progress: Progress, error: BaseException | None
    ) -> None:
        key = self._key(request)
        if error is None or not request.stream or not progress.text or key is None:
            return
        if progress.finished or progress.stored:
            return
        task = asyncio.create_task(
            self.store.append(key, self._turn(request, progress, progress.model))
        )
        self._saving.add(task)
        task.add_done_callback(self._interrupted_stored)

    def _interrupted_stored(self, task: asyncio.Task[Turn]) -> None:
        self._saving.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("turn.interrupted_not_stored", error=type(error).__name__)

    def _report(self, progress: Progress, error: BaseException | None) -> None:
        record = record_of(
            error=error,
            model=progress.finished.model if progress.finished else progress.model,
            finished=progress.finished,
            tokens=progress.tokens,
            total_s=progress.timings.total_s,
            queue_s=progress.timings.queue_s,
            first_token_s=progress.timings.first_token_s,
            ended_at=self.clock.now(),
        )
        for observer in self._observers:
            observer.ended(record)

    def _bounded(self, deadline: float, stage: str) -> _Bound:
        return _Bound(deadline - self.clock.monotonic(), stage)


class _Bound:
    """A time limit that raises DeadlineExceeded with its stage."""

    def __init__(self, left_s: float, stage: str) -> None:
        self._timeout = asyncio.timeout(max(0.0, left_s))
        self._stage = stage

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)  # type: ignore[arg-type]
        except TimeoutError as passed:
            raise DeadlineExceeded(self._stage) from passed


def _merged(persona: Sampling, wished: Sampling, reserve: int) -> Sampling:
    own = {n: getattr(persona, n) for n in Sampling.__dataclass_fields__}
    over = {n: getattr(wished, n) for n in Sampling.__dataclass_fields__}
    merged = Sampling(**{n: over[n] if over[n] not in (None, ()) else own[n] for n in own})
    limit = min(merged.max_tokens or reserve, reserve)
    return replace(merged, max_tokens=limit)


def _sample(progress: Progress) -> ServiceSample | None:
    finished, first = progress.finished, progress.timings.first_token_s
    if finished is None or first is None:
        return None
    return ServiceSample(
        first_token_s=max(0.0, first - progress.timings.queue_s),
        completion_tokens=finished.usage.completion_tokens or progress.tokens,
        generation_s=max(0.0, progress.timings.total_s - first),
    )
