"""Have the questions about a run answered by models: once a cause, within a limit, and checked.

Each question goes to the first provider of a chain that answers. Whatever goes wrong, the offline
diagnosis stands, and the report says why.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from heisenberg import text
from heisenberg.diagnosis.answer import Answer, read_answer
from heisenberg.diagnosis.answers import AnswerKey
from heisenberg.diagnosis.judgement import judge
from heisenberg.diagnosis.prompt import digest, write_prompt
from heisenberg.diagnosis.question import shorten
from heisenberg.diagnosis.spending import Call, CallOutcome
from heisenberg.diagnosis.tokens import estimate_tokens
from heisenberg.errors import (
    EngineAnswerError,
    EngineAuthenticationError,
    EngineContextError,
    EngineError,
    EngineRejectedError,
    HeisenbergError,
)
from heisenberg.model.report import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from heisenberg.diagnosis.answers import Answers
    from heisenberg.diagnosis.judgement import Judgement
    from heisenberg.diagnosis.prices import Price, Prices
    from heisenberg.diagnosis.provider import Prompt, Provider, Reply
    from heisenberg.diagnosis.spending import Ledger
    from heisenberg.model.diagnosis import Diagnosis
    from heisenberg.model.question import Question
    from heisenberg.model.report import Report

T = TypeVar("T")

MAX_QUESTIONS = 40
"""Incidents of one run that a model is asked about, the worst first."""
SHORTER = (0.5, 0.2)
"""Shares of the evidence that are tried when all of it is too long for the model."""
ROUNDS = 2
"""Rounds that one call may take: an answer that cannot be read is sent back once."""
ESTIMATE_MARGIN = 1.25
"""By how much the tokens of a prompt may be underestimated."""
FIRST_POLL_S, LAST_POLL_S = 0.05, 1.0
"""Between two looks for the answer that somebody else is waiting for."""


class SpendLimitError(HeisenbergError):
    """The call might cost more than is left."""


class Retrying(Protocol):
    """Makes an asynchronous function try again."""

    def __call__(self, function: Callable[..., Awaitable[T]], /) -> Callable[..., Awaitable[T]]:
        """The function, with its retries."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and what came of it."""

    question: Question
    """As far as it was sent."""
    model: str
    prompt: Prompt
    answer: Answer
    judgement: Judgement
    was_kept: bool
    """The answer was there already; nothing was sent."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    @property
    def diagnosis(self) -> Diagnosis:
        """What is left of it, with what it cost."""
        return replace(
            self.judgement.diagnosis,
            prompt=self.question.prompt if self.judgement.is_models else "",
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_usd=self.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class Consultation:
    """What models said about a run."""

    exchanges: tuple[Exchange, ...]
    problems: tuple[Problem, ...]

    def apply(self, report: Report) -> Report:
        """The report with the models' diagnoses in place of the offline ones."""
        found = {exchange.question.incident: exchange.diagnosis for exchange in self.exchanges}
        incidents = tuple(
            replace(incident, diagnosis=found.get(incident.id, incident.diagnosis))
            for incident in report.incidents
        )
        return replace(report, incidents=incidents, problems=(*report.problems, *self.problems))


class Consultant:
    """Asks models, keeps their answers, keeps to the limit, and believes nothing unproven."""

    def __init__(  # noqa: PLR0913 (the parts it brings together)
        self,
        providers: Sequence[Provider],
        *,
        prices: Prices,
        answers: Answers,
        ledger: Ledger,
        retrying: Retrying,
        max_output_tokens: int = 1500,
        concurrency: int = 4,
        calibrate: Callable[[str], Callable[[float], float]] = lambda _: lambda stated: stated,
        on_exchange: Callable[[Exchange], None] = lambda _: None,
    ) -> None:
        """Bring the parts together.

        Args:
            providers: Asked in this order until one answers.
            prices: Of their models.
            answers: Where answers are kept.
            ledger: Keeps the limit and the books.
            retrying: Makes a call try again.
            max_output_tokens: Of one answer.
            concurrency: Questions that are asked side by side.
            calibrate: Given an engine's name, what turns its confidence into one that keeps its word.
            on_exchange: Told of every answer.
        """
        self._providers = providers
        self._prices = prices
        self._answers = answers
        self._ledger = ledger
        self._max_output_tokens = max_output_tokens
        self._concurrency = concurrency
        self._calibrate = calibrate
        self._on_exchange = on_exchange
        self._asks = {provider.name: retrying(provider.ask) for provider in providers}

    async def consult(self, questions: Sequence[Question]) -> Consultation:
        """Have the questions answered.

        Args:
            questions: About one run, the worst incident first.

        Returns:
            What came of each, and why the offline diagnosis stands where it does.
        """
        turns = asyncio.Semaphore(self._concurrency)
        told: dict[tuple[str, str], list[str]] = defaultdict(list)

        async def about(question: Question) -> Exchange | None:
            async with turns:
                return await self._about(question, told)

        worth = [question for question in questions if question.items]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(about(question)) for question in worth[:MAX_QUESTIONS]]
        for question in worth[MAX_QUESTIONS:]:
            reason = f"of one run models are asked about {MAX_QUESTIONS} incidents at most"
            told["model", f"{reason}; {STANDS}"].append(question.incident)
        exchanges = tuple(x for task in tasks if (x := task.result()) is not None)
        return Consultation(exchanges, (*_problems(told), *self._unpriced(exchanges)))

    async def _about(
        self, question: Question, told: Mapping[tuple[str, str], list[str]]
    ) -> Exchange | None:
        """Ask one provider after the other; None when none answers."""
        for provider in self._providers:
            try:
                exchange = await self._exchange(provider, question)
            except SpendLimitError as error:
                told[provider.name, f"{error}; {STANDS}"].append(question.incident)
                return None
            except (EngineError, TimeoutError, ConnectionError) as error:
                is_last = provider is self._providers[-1]
                then = STANDS if is_last else "the next model was asked"
                reason = _reason(error).removeprefix(f"{provider.name}: ")
                told[provider.name, f"{reason}; {then}"].append(question.incident)
                continue
            for dropped in exchange.judgement.dropped:
                reason = f"dropped {dropped.claim} of its answer: {dropped.reason}"
                told[provider.name, reason].append(question.incident)
            if not exchange.judgement.is_models:
                told[provider.name, f"nothing of its answer is proven; {STANDS}"].append(
                    question.incident
                )
            self._on_exchange(exchange)
            return exchange
        return None

    async def _exchange(self, provider: Provider, question: Question) -> Exchange:
        """The answer that is kept, or a new one."""
        prompt = write_prompt(question, self._max_output_tokens)
        key = AnswerKey(question.fingerprint, digest(prompt), question.prompt, provider.name)
        kept = await self._kept_or_claimed(key)
        if kept is not None:
            sent = replace(question, items=question.items[: kept.items])
            return self._judged(provider.name, sent, prompt, kept.answer, was_kept=True)
        try:
            exchange = await self._ask(provider, question)
        except BaseException:
            await asyncio.shield(self._answers.release(key))
            raise
        record = _Kept(len(exchange.question.items), exchange.answer)
        await self._answers.put(key, msgspec.json.encode(record).decode())
        return exchange

    async def _kept_or_claimed(self, key: AnswerKey) -> _Kept | None:
        """An answer that is kept; None once it is ours to ask for one."""
        poll_s = FIRST_POLL_S
        while True:
            known = await self._answers.get(key)
            if known is not None:
                return _read_kept(known)  # one that cannot be read is replaced
            if await self._answers.claim(key):
                return None
            await asyncio.sleep(poll_s)
            poll_s = min(2 * poll_s, LAST_POLL_S)

    async def _ask(self, provider: Provider, question: Question) -> Exchange:
        """Ask, with less evidence if all of it is too long for the model."""
        sent: Question | None = question
        for share in (*SHORTER, None):
            try:
                return await self._call(provider, sent or question)
            except EngineContextError:
                sent = shorten(question, share) if share is not None else None
                if sent is None:
                    raise
        raise AssertionError("the last round returns or raises")

    async def _call(self, provider: Provider, question: Question) -> Exchange:
        """Call the model once, its retries included, and book it."""
        prompt = write_prompt(question, self._max_output_tokens)
        price = self._prices.of(provider.name)
        about = round(
            ESTIMATE_MARGIN
            * (estimate_tokens(prompt.system + prompt.user) + _schema_tokens(prompt))
        )
        # A repair sends the first answer back.
        most = (price or self._prices.dearest).cost_usd(
            ROUNDS * about + self._max_output_tokens, ROUNDS * self._max_output_tokens
        )
        if not await self._ledger.reserve(most):
            raise SpendLimitError(f"the limit of spending is reached (this call: {most:.4f} USD)")
        booking = _Booking(self._ledger, most, provider.name, question, price)
        try:
            reply: Reply[Answer] = await self._asks[provider.name](prompt, read_answer)
        except asyncio.CancelledError:
            await booking.settle(CallOutcome.ABANDONED, about, 0)
            raise
        except Exception as error:
            used = error if isinstance(error, EngineError) else EngineError("")
            await booking.settle(
                _outcome(error), used.input_tokens, used.output_tokens, _reason(error)
            )
            raise
        exchange = self._judged(provider.name, question, prompt, reply.answer)
        proven = exchange.judgement.is_models
        outcome = CallOutcome.ANSWERED if proven else CallOutcome.UNPROVEN
        cost_usd = await booking.settle(outcome, reply.input_tokens, reply.output_tokens)
        return replace(
            exchange,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            cost_usd=cost_usd,
        )

    def _judged(
        self,
        model: str,
        question: Question,
        prompt: Prompt,
        answer: Answer,
        *,
        was_kept: bool = False,
    ) -> Exchange:
        judgement = judge(question, answer, model=model, calibrate=self._calibrate(model))
        return Exchange(question, model, prompt, answer, judgement, was_kept)

    def _unpriced(self, exchanges: Sequence[Exchange]) -> list[Problem]:
        """Tell whose costs are not known."""
        models = dict.fromkeys(x.model for x in exchanges if self._prices.of(x.model) is None)
        reason = (
            "no price of it is known, so its cost counts as 0, and for the limit as that of the "
            "dearest model known; a file of prices can name it"
        )
        return [Problem(model, reason) for model in models]


STANDS = "the offline diagnosis stands"


class _Kept(msgspec.Struct, frozen=True):
    """An answer as it is kept."""

    items: int
    """How many of the question's items the model was shown."""
    answer: Answer


def _read_kept(known: str) -> _Kept | None:
    """What was kept; None when it cannot be read, by another version for instance."""
    try:
        kept = msgspec.json.decode(known, type=_Kept)
        read_answer(msgspec.json.encode(kept.answer).decode())
    except (msgspec.MsgspecError, ValueError):
        return None
    return kept


@dataclass(slots=True)
class _Booking:
    """Books one call; its duration counts from here."""

    ledger: Ledger
    reserved_usd: float
    model: str
    question: Question
    price: Price | None
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = time.perf_counter()

    async def settle(
        self, outcome: CallOutcome, input_tokens: int, output_tokens: int, error: str = ""
    ) -> float:
        """Book the call, whoever cancels it meanwhile.

        Returns:
            What it cost, in USD.
        """
        cost_usd = self.price.cost_usd(input_tokens, output_tokens) if self.price else 0.0
        call = Call(
            model=self.model,
            prompt=self.question.prompt,
            fingerprint=self.question.fingerprint,
            outcome=outcome,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost_usd=cost_usd,
            duration_ms=(time.perf_counter() - self.began) * 1000,
            error=error,
        )
        await asyncio.shield(self.ledger.settle(self.reserved_usd, call))
        return cost_usd


def _schema_tokens(prompt: Prompt) -> int:
    return estimate_tokens(msgspec.json.encode(prompt.schema).decode())


def _outcome(error: Exception) -> CallOutcome:
    match error:
        case EngineAnswerError():
            return CallOutcome.MALFORMED
        case EngineAuthenticationError():
            return CallOutcome.UNAUTHORIZED
        case EngineRejectedError():
            return CallOutcome.REJECTED
    return CallOutcome.UNAVAILABLE


def _reason(error: Exception) -> str:
    return text.truncate(text.one_line(str(error)) or type(error).__name__, 300)


def _problems(told: Mapping[tuple[str, str], Sequence[str]]) -> list[Problem]:
    """One problem a model and reason, whichever incidents it is about."""
    return [
        Problem(
            model, f"{reason} (incident{'s' if len(incidents) > 1 else ''} {', '.join(incidents)})"
        )
        for (model, reason), incidents in told.items()
    ]
