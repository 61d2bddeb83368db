"""One exchange with an assistant: the request, and its state on its way through the pipeline."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from chatbot_ai.core.answer import ContextUse, Delta, Done, Sources, Timings
from chatbot_ai.core.estimate import ServiceSample
from chatbot_ai.core.prompt import Prompt, PromptLengths, build_prompt
from chatbot_ai.core.record import RequestRecord, classify, find_code
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.citations import CitationFilter
from chatbot_ai.domain.control_tokens import neutralize
from chatbot_ai.domain.conversation import ConversationKey, Message, Turn, TurnAnswer
from chatbot_ai.domain.errors import ChatbotError, ContextTooLong
from chatbot_ai.domain.generation import (
    Finished,
    GenerationEvent,
    GenerationRequest,
    Restarted,
    Sampling,
    TextDelta,
    Usage,
    likely_tokens,
)
from chatbot_ai.domain.persona import Character, Persona
from chatbot_ai.domain.ports import ChatModel
from chatbot_ai.domain.thoughts import without_thoughts

#: message: a new turn. regenerate: another answer to the last turn, kept beside the earlier ones.
#: continue: another piece of the last turn's answer. edit: a new turn replaces the turn at `index`
#: and all after it.
Mode = Literal["message", "regenerate", "continue", "edit"]

NO_SOURCES = Sources((), ())


class Lore(Protocol):
    """Reference text that fits a conversation. Pure, and slow enough for a thread.

    messages  oldest first, the newest input last; shown: texts of the prompt that need no repeating
    """

    def __call__(self, messages: Sequence[Message], shown: Sequence[str]) -> str: ...


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One message to an assistant.

    text         what the user wrote; not used for `regenerate` and `continue`
    caller       whom the queue is fair to: the user, else the address
    deadline     on the monotonic clock, in seconds; everything until the answer is stored
    user, db_id  both given: the conversation has memory; else the call is stateless
    stream       deltas are shown as they come, so no backup can begin again after the first
    claim_id     of an idempotent call; stays on the answer, see core/idempotency.py
    messages     a whole conversation that the caller keeps itself (OpenAI-compatible calls);
                 then there is no memory here and `text` is not used
    persona      replaces the assistant's own for this call
    lore         finds reference text to stand beside the newest input
    principal    whose limit of tokens the answer counts towards
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
    claim_id: str = ""
    mode: Mode = "message"
    index: int | None = None
    messages: tuple[Message, ...] = ()
    persona: Persona | None = None
    response_format: dict[str, object] | None = None
    lore: Lore | None = None
    principal: Principal | None = None

    @property
    def question(self) -> str:
        """The newest thing that the user wrote."""
        return self.messages[-1].content if self.messages else self.text


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request's whole state on its way through the pipeline, read when it ends, however it
    ends.

    key            the conversation; None for a call without memory
    lengths        of the model's prompts
    answer_tokens  that the answer may take; `limit_tokens` is what the prompt may
    prefix_tag     what the conversation's prompts begin with, see `prompt.prefix_tag`
    turns          that the prompt looks back on, oldest first
    prompt_guess   about how many tokens the prompt has
    revised        the turn that is regenerated or continued, if one is
    tokens         pieces of the answer; `shown` counts those of an attempt that was void, too
    """

    request: ChatRequest
    model: ChatModel
    persona: Persona
    lengths: PromptLengths
    answer_tokens: int
    limit_tokens: int
    started: float
    key: ConversationKey | None = None
    prefix_tag: str = ""

    turns: list[Turn] = field(default_factory=list)
    revised: Turn | None = None
    grounded: Sources = NO_SOURCES
    messages: tuple[Message, ...] = ()
    prompt_guess: int = 0
    prompt: Prompt | None = None

    timings: Timings = field(default_factory=Timings)
    text: list[str] = field(default_factory=list)
    tokens: int = 0
    shown: int = 0
    finished: Finished | None = None
    done: Done | None = None
    _known_sources: frozenset[int] = frozenset()
    _citations: CitationFilter | None = None

    @property
    def output(self) -> str:
        return "".join(self.text)

    async def build_prompt(self, references: str) -> None:
        """Make the messages for the model, with `references` beside the newest input. Raises
        ContextTooLong."""
        request, revised = self.request, self.revised
        if request.messages:
            self.messages = await self._fit_given(references)
        else:
            self.prompt = await self.fit(
                revised.input if revised else request.text,
                references,
                self.turns,
                sent=revised.sent if revised else None,
                begun=revised.output if revised and request.mode == "continue" else "",
            )
            self.messages = self.prompt.messages
        self.prompt_guess = sum(likely_tokens(message.content) for message in self.messages)

    async def fit(
        self,
        text: str,
        references: str,
        turns: Sequence[Turn],
        *,
        limit_tokens: int | None = None,
        sent: str | None = None,
        begun: str = "",
    ) -> Prompt:
        """A prompt of this conversation that ends with `text`."""
        return await build_prompt(
            persona=self.persona,
            character=self.request.character,
            turns=turns,
            text=text,
            references=references,
            limit_tokens=self.limit_tokens if limit_tokens is None else limit_tokens,
            count=self.lengths.count,
            bound=self.lengths.bound,
            model=self.model.name,
            sent=sent,
            begun=begun,
            tag=self.prefix_tag,
        )

    async def _fit_given(self, references: str) -> tuple[Message, ...]:
        """The caller's own messages, with references beside the last one."""
        *earlier, last = self.request.messages
        if references:
            last = Message(last.role, f"{last.content}\n\n{neutralize(references)}")
        messages = (*earlier, last)
        if self.lengths.bound(messages) > self.limit_tokens:
            tokens = await self.lengths.count(messages)
            if tokens > self.limit_tokens:
                raise ContextTooLong(tokens, self.limit_tokens)
        return messages

    def start_generation(self) -> GenerationRequest:
        """What the model is asked. From here on `feed` takes what it says.

        Source numbers without a source are taken out of the answer where the model has seen any,
        this answer's or earlier ones. A bracket in JSON is no citation.
        """
        request = self.request
        seen = request.search or self.grounded.sources or any(t.sources for t in self.turns)
        if seen and request.response_format is None:
            self._known_sources = frozenset(source.n for source in self.grounded.sources)
            self._citations = CitationFilter(self._known_sources)
        return GenerationRequest(
            self.messages,
            self.persona.sampling.merge(request.sampling, self.answer_tokens),
            request.deadline,
            whole=not request.stream,
            response_format=request.response_format,
        )

    def feed(self, event: GenerationEvent, now: float) -> Delta | Restarted | None:
        """Take the model's next event at the time `now`; what the caller is shown of it, if
        anything."""
        match event:
            case TextDelta(text):
                return self._add(
                    text if self._citations is None else self._citations.feed(text), now
                )
            case Restarted():
                self.text.clear()
                self.tokens = 0
                if self._citations is not None:
                    self._citations = CitationFilter(self._known_sources)
                return event
            case Finished():
                self.finished = event
                return self._add(self._citations.finish(), now) if self._citations else None

    def _add(self, text: str, now: float) -> Delta | None:
        if not text:
            return None
        if self.timings.first_token_s is None:
            self.timings.first_token_s = now - self.started
        self.tokens += 1
        self.shown += 1
        self.text.append(text)
        return Delta(text)

    def end_generation(self, began: float, now: float) -> None:
        """Learn from the model's end; generation began at `began`."""
        finished, timings = self.finished, self.timings
        if finished is None:
            raise AssertionError("rule M1: a model's stream ends with Finished")
        if not finished.backup:
            self.lengths.learn(self.messages, finished.usage.prompt_tokens)
        timings.prefill_s = finished.prefill_s
        if timings.first_token_s is not None and self.tokens > 1:
            began = self.started + timings.first_token_s
        timings.generation_s = finished.generation_s or now - began

    def finish(self, stored: Turn | None, now: float) -> Done:
        """The last event of a whole answer."""
        finished = self.finished
        if finished is None:
            raise AssertionError("an answer is done only after it has finished")
        self.timings.total_s = now - self.started
        usage = finished.usage
        self.done = Done(
            finish_reason=finished.reason,
            model=finished.model,
            usage=usage,
            timings=replace(self.timings),
            context=ContextUse(
                usage.prompt_tokens + usage.completion_tokens,
                self.model.context_tokens,
                self.prompt.left_out if self.prompt else 0,
            ),
            turn=stored.index if stored else None,
            backup=finished.backup,
            warnings=self.grounded.warnings,
            sources=self.grounded.sources,
        )
        return self.done

    @property
    def was_interrupted(self) -> bool:
        """Whether a stream with memory has shown something that is to be stored though it broke
        off. A broken edit is not: turns give way to an answer, not to a piece of one."""
        return (
            self.key is not None
            and self.request.stream
            and self.request.mode != "edit"
            and bool(self.text)
            and self.finished is None
        )

    def to_answer(self, created_at: float) -> TurnAnswer:
        """The answer as it is stored."""
        finished = self.finished
        shows_thoughts = finished is not None and finished.shows_thoughts
        return TurnAnswer(
            text=without_thoughts(self.output) if shows_thoughts else self.output,
            model=finished.model if finished else self.model.name,
            created_at=created_at,
            status="complete" if finished else "interrupted",
            finish_reason=finished.reason if finished else None,
            sources=self.grounded.sources,
        )

    @property
    def most_tokens(self) -> int:
        """Tokens that it may take, as far as that can be told by now: what a conversation or a
        search brings is unknown before the prompt is built."""
        request, prompt = self.request, self.prompt_guess or self.limit_tokens
        if not self.prompt_guess and self.key is None and not request.search:
            texts = [message.content for message in request.messages]
            texts = texts or [self.persona.system_prompt(request.character), request.text]
            prompt = min(prompt, sum(map(likely_tokens, texts)))
        return prompt + min(request.sampling.max_tokens or self.answer_tokens, self.answer_tokens)

    def cost_tokens(self, error: BaseException | None) -> int:
        """Tokens that count towards the caller's limit, once it has ended: what the model's server
        told, at least what was seen, as some tell nothing; none for what was refused or failed
        before it began."""
        if self.done is None:
            failed = isinstance(error, ChatbotError) and not self.shown
            return 0 if failed else self.prompt_guess + self.shown
        usage = self.done.usage
        prompt_tokens = usage.prompt_tokens or self.prompt_guess
        return prompt_tokens + max(usage.completion_tokens, self.shown)

    def to_record(self, error: BaseException | None, ended_at: float) -> RequestRecord:
        """The record of its end; without `finished` its tokens were wasted."""
        finished, timings, outcome = self.finished, self.timings, classify(error)
        usage = finished.usage if finished else Usage(completion_tokens=self.tokens)
        return RequestRecord(
            outcome=outcome,
            model=finished.model if finished else self.model.name,
            total_s=timings.total_s,
            queue_s=timings.queue_s,
            first_token_s=timings.first_token_s,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            generation_s=timings.generation_s if finished else 0.0,
            wasted_tokens=0 if outcome == "answered" else self.tokens,
            error_code=find_code(error),
            backup=bool(finished and finished.backup),
            ended_at=ended_at,
        )

    def to_sample(self) -> ServiceSample | None:
        """What it teaches the queue's estimate; nothing where it did not finish. What the search
        took is no slot's work."""
        finished, timings = self.finished, self.timings
        first = timings.first_token_s
        # a backup's answer comes in one piece or from elsewhere: it says nothing of the engine's
        if finished is None or first is None or finished.backup:
            return None
        return ServiceSample(
            first_token_s=max(0.0, first - timings.queue_s - timings.search_s),
            completion_tokens=self.tokens or finished.usage.completion_tokens,
            generation_s=max(0.0, timings.total_s - first),
        )
