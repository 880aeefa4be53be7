"""Have the questions about a run answered by models: once a cause, within a limit, and checked.

Each question goes to the first provider of a chain that answers. Whatever goes wrong, the offline
diagnosis stands, and the report says why.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from heisenberg import text
from heisenberg.diagnosis.answer import Answer, read_answer
from heisenberg.diagnosis.answers import AnswerKey
from heisenberg.diagnosis.circuit import CircuitOpenError
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
from heisenberg.model.diagnosis import Owner
from heisenberg.model.report import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from heisenberg.diagnosis.answers import Answers
    from heisenberg.diagnosis.judgement import Judgement
    from heisenberg.diagnosis.prices import Price, Prices
    from heisenberg.diagnosis.provider import Prompt, Provider
    from heisenberg.diagnosis.spending import Ledger
    from heisenberg.model.diagnosis import Diagnosis
    from heisenberg.model.question import Question
    from heisenberg.model.report import Report

T = TypeVar("T")

SHORTER = (0.5, 0.2)
"""Shares of the evidence that are tried when all of it is too long for the model."""
ROUNDS = 2
"""Rounds that one call may take: an answer that cannot be read is sent back once."""
ESTIMATE_MARGIN = 1.25
"""By how much the tokens of a prompt may be underestimated."""
FIRST_POLL_S, LAST_POLL_S = 0.05, 1.0
"""Between two looks for the answer that somebody else is waiting for."""
CONCURRENCY = 4
"""Questions that are asked side by side when nothing else is said."""
DEADLINE_S = 120.0
"""Likewise, seconds in which all questions about a run have to be answered."""


class SpendLimitError(HeisenbergError):
    """The call might cost more than is left."""


class _OwnError(HeisenbergError):
    """An answer was paid for, and we failed to judge it; never tried again."""


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
    """Of all tries, whoever was asked; likewise the next two."""
    output_tokens: int = 0
    cost_usd: float = 0.0

    @property
    def diagnosis(self) -> Diagnosis:
        """What is left of it, with what it cost."""
        return replace(
            self.judgement.diagnosis,
            prompt=self.question.prompt if self.judgement.is_models else "",
            stated=self.judgement.stated if self.judgement.is_models else None,
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


def asked_about(questions: Sequence[Question]) -> list[Question]:
    """Those of a run's questions that are put to a model."""
    return [question for question in questions if question.items]


def most_tokens(prompt: Prompt) -> tuple[int, int]:
    """The most that asking once may read and write, a repair included."""
    # A repair sends the first answer back.
    return (
        ROUNDS * _about_tokens(prompt) + prompt.max_output_tokens,
        ROUNDS * prompt.max_output_tokens,
    )


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
        turns: asyncio.Semaphore | None = None,
        deadline_s: float = DEADLINE_S,
        calibrate: Callable[[str], Callable[[float], float]] = lambda _: lambda stated: stated,
        on_exchange: Callable[[Exchange], None] = lambda _: None,
        on_error: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        """Bring the parts together.

        Args:
            providers: Asked in this order until one answers.
            prices: Of their models.
            answers: Where answers are kept.
            ledger: Keeps the limit and the books.
            retrying: Makes a call try again.
            max_output_tokens: Of one answer.
            turns: As many questions are asked side by side as it lets through, by all who share it.
            deadline_s: Seconds for all questions about a run; what is left then stays offline.
            calibrate: Given an engine's name, what turns its confidence into one that keeps its word.
            on_exchange: Told of every answer.
            on_error: Told of every error that is ours, for a log.
        """
        self._providers = providers
        self._prices = prices
        self._answers = answers
        self._ledger = ledger
        self._max_output_tokens = max_output_tokens
        self._retrying = retrying
        self._turns = turns or asyncio.Semaphore(CONCURRENCY)
        self._deadline_s = deadline_s
        self._calibrate = calibrate
        self._on_exchange = on_exchange
        self._on_error = on_error

    async def consult(self, questions: Sequence[Question]) -> Consultation:
        """Have the questions answered.

        Args:
            questions: About one run, the worst incident first.

        Returns:
            What came of each, and why the offline diagnosis stands where it does.
        """
        run = _Run()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadline_s

        async def about(question: Question, until: float) -> Exchange | None:
            if loop.time() < until:  # else it would be cut off while it is being sent
                return await self._about(question, run, until)
            reason = f"not all was answered within {self._deadline_s:g} s; {STANDS}"
            run.tell("model", reason, question)
            return None

        asked = asked_about(questions)
        # The first one alone: it finds out, once for all, what would fail for each. Where there are
        # others it may take half of the time.
        alone = end - self._deadline_s / 2 if len(asked) > 1 else end
        found = [await about(question, alone) for question in asked[:1]]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(about(question, end)) for question in asked[1:]]
        found += [task.result() for task in tasks]
        for question in questions:
            if not question.items:
                reason = "nothing that it could be shown was found in the artefacts"
                run.tell("model", f"{reason}; {STANDS}", question)
        exchanges = tuple(exchange for exchange in found if exchange is not None)
        return Consultation(
            exchanges, (*run.lost(), *_problems(run.told, questions), *self._unpriced(exchanges))
        )

    async def _about(self, question: Question, run: _Run, until: float) -> Exchange | None:
        """Ask one provider after the other; None when none answers.

        Each has an equal part of the time that is left, so that one that is silent leaves some to
        the next.
        """
        spent = _Spent()
        run.spent.append(spent)
        clock = asyncio.get_running_loop().time
        for number, provider in enumerate(self._providers):
            then = STANDS if provider is self._providers[-1] else "the next model was asked"
            share_s = (until - clock()) / (len(self._providers) - number)
            try:
                async with asyncio.timeout(share_s) as limit:
                    exchange = await self._exchange(provider, question, run, spent)
            except TimeoutError as error:
                late = f"not all was answered within {self._deadline_s:g} s"
                reason = late if limit.expired() else _reason(error)
                reason = reason.removeprefix(f"{provider.name}: ")
                run.tell(provider.name, f"{reason}; {then}", question)
            except (SpendLimitError, EngineError, ConnectionError) as error:
                reason = _reason(error).removeprefix(f"{provider.name}: ")
                run.tell(provider.name, f"{reason}; {then}", question)
            except Exception as error:  # noqa: BLE001 (whatever it is, the report is delivered)
                run.tell(provider.name, f"{self._own(error)}; {then}", question)
            else:
                self._tell(exchange, question, run)
                return exchange
        return None

    def _tell(self, exchange: Exchange, question: Question, run: _Run) -> None:
        """Tell what was dropped of an answer, and of the answer."""
        stands = "" if exchange.judgement.is_models else f"; {STANDS}"
        abstains = exchange.answer.owner is Owner.INSUFFICIENT_EVIDENCE
        for dropped in exchange.judgement.dropped:
            reason = f"dropped {dropped.claim} of its answer: {dropped.reason}"
            if dropped.claim == "root_cause":
                reason = f"{dropped.reason if abstains else reason}{stands}"
            run.tell(exchange.model, reason, question)
        try:
            self._on_exchange(exchange)
        except Exception as error:  # noqa: BLE001 (the answer is there, and paid for)
            run.tell(exchange.model, self._own(error), question)

    def _own(self, error: Exception) -> str:
        """What the report says of an error that is no provider's."""
        cause = error.__cause__ if isinstance(error, _OwnError) else error
        self._on_error(error)
        return f"an error of ours ({type(cause).__name__})"

    async def _exchange(
        self, provider: Provider, question: Question, run: _Run, spent: _Spent
    ) -> Exchange:
        """The answer that is kept, or a new one."""
        prompt = write_prompt(question, self._max_output_tokens)
        key = AnswerKey(question.fingerprint, digest(prompt), question.prompt, provider.name)
        async with run.locks[key]:  # of this run's, the same question is asked once
            kept = run.kept.get(key) or await self._kept_or_claimed(key)
            if kept is not None:
                sent = replace(question, items=question.items[: kept.items])
                prompt = write_prompt(sent, self._max_output_tokens)
                exchange = self._judged(provider.name, sent, prompt, kept.answer, was_kept=True)
                return spent.put_into(exchange)
            try:
                exchange = await self._ask(provider, question, spent)
            except BaseException:
                await asyncio.shield(self._answers.release(key))
                raise
            record = _Kept(len(exchange.question.items), exchange.answer)
            run.kept[key] = record
            putting = asyncio.ensure_future(
                self._answers.put(key, msgspec.json.encode(record).decode())
            )
            try:
                await asyncio.shield(putting)
            except asyncio.CancelledError:
                await putting  # it is paid for, and its claim ends with it
                raise
        return spent.put_into(exchange)

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

    async def _ask(self, provider: Provider, question: Question, spent: _Spent) -> Exchange:
        """Ask, with less evidence if all of it is too long for the model."""
        *longer, shortest = _ever_shorter(question)
        for sent in longer:
            try:
                return await self._call(provider, sent, spent)
            except EngineContextError:
                continue
        return await self._call(provider, shortest, spent)

    async def _call(self, provider: Provider, question: Question, spent: _Spent) -> Exchange:
        """Call the model, and again while that may help; each try is reserved and booked."""
        prompt = write_prompt(question, self._max_output_tokens)
        price = self._prices.of(provider.name)
        counts = price or self._prices.dearest
        most_usd = counts.cost_usd(*most_tokens(prompt))

        async def ask_model() -> Exchange:
            async with self._turns:
                if not await self._ledger.reserve(most_usd):
                    raise SpendLimitError(
                        f"the limit of spending is reached (this call: {most_usd:.4f} USD)"
                    )
                booking = _Booking(
                    self._ledger, most_usd, provider.name, question, price, counts, spent
                )
                return await self._try(provider, question, prompt, booking)

        ask_model.__qualname__ = provider.name  # the name that whoever tries again tells
        return await self._retrying(ask_model)()

    async def _try(
        self, provider: Provider, question: Question, prompt: Prompt, booking: _Booking
    ) -> Exchange:
        """Call the model once, judge its answer, and book it, whatever happens."""
        about = _about_tokens(prompt)
        try:
            reply = await provider.ask(prompt, read_answer)
        except CircuitOpenError:
            await booking.release()
            raise
        except asyncio.CancelledError:
            await booking.settle(CallOutcome.ABANDONED, about, 0)
            raise
        except EngineError as error:
            paid = error.input_tokens
            if not paid and isinstance(error, TimeoutError):
                paid = about  # it was sent
            await booking.settle(_outcome(error), paid, error.output_tokens, _reason(error))
            raise
        except Exception as error:
            await booking.settle(CallOutcome.UNAVAILABLE, about, 0, type(error).__name__)
            raise
        outcome, said = CallOutcome.UNPROVEN, ""
        try:
            exchange = self._judged(provider.name, question, prompt, reply.answer)
            if exchange.judgement.is_models:
                outcome = CallOutcome.ANSWERED
        except Exception as error:
            said = type(error).__name__
            raise _OwnError(said) from error
        finally:
            await booking.settle(outcome, reply.input_tokens, reply.output_tokens, said)
        return exchange

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
class _Run:
    """One consultation: what is told of it, and what was answered in it."""

    told: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    """Incidents by model and reason."""
    locks: dict[AnswerKey, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    kept: dict[AnswerKey, _Kept] = field(default_factory=dict)
    spent: list[_Spent] = field(default_factory=list)
    """On each question that was begun."""

    def lost(self) -> list[Problem]:
        """Tell of what was paid, and is in no diagnosis."""
        lost = [one for one in self.spent if not one.is_told]
        tokens = sum(one.input_tokens + one.output_tokens for one in lost)
        cost_usd = math.fsum(one.cost_usd for one in lost)
        reason = f"calls that gave no answer took {tokens} tokens, {cost_usd:.4f} USD"
        return [Problem("model", reason)] if tokens else []

    def tell(self, model: str, reason: str, question: Question) -> None:
        self.told[model, reason].append(question.incident)


@dataclass(slots=True)
class _Spent:
    """What one question took, all tries of all models."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    is_told: bool = False
    """It is in a diagnosis."""

    def put_into(self, exchange: Exchange) -> Exchange:
        self.is_told = True
        return replace(
            exchange,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_usd=self.cost_usd,
        )


@dataclass(slots=True)
class _Booking:
    """Books one call; its duration counts from here."""

    ledger: Ledger
    reserved_usd: float
    model: str
    question: Question
    price: Price | None
    counts: Price
    """What counts against the limit."""
    spent: _Spent
    began: float = field(default_factory=time.perf_counter)

    async def release(self) -> None:
        """Give back what was set aside: no call was made."""
        await asyncio.shield(self.ledger.release(self.reserved_usd))

    async def settle(
        self, outcome: CallOutcome, input_tokens: int, output_tokens: int, error: str = ""
    ) -> None:
        """Book the call, whoever cancels it meanwhile."""
        cost_usd = self.price.cost_usd(input_tokens, output_tokens) if self.price else 0.0
        self.spent.input_tokens += input_tokens
        self.spent.output_tokens += output_tokens
        self.spent.cost_usd += cost_usd
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
            limit_usd=self.counts.cost_usd(input_tokens, output_tokens),
        )
        await asyncio.shield(self.ledger.settle(self.reserved_usd, call))


def _ever_shorter(question: Question) -> list[Question]:
    """The question, and what is asked in its place when it is too long: each shorter than before."""
    found = [question]
    for share in SHORTER:
        less = shorten(question, share)
        if less is not None and len(less.items) < len(found[-1].items):
            found.append(less)
    return found


def _about_tokens(prompt: Prompt) -> int:
    """Estimate of what a prompt takes, rather too high than too low."""
    told = estimate_tokens(prompt.system + prompt.user) + _schema_tokens(prompt)
    return round(ESTIMATE_MARGIN * told)


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


def _problems(
    told: Mapping[tuple[str, str], Sequence[str]], questions: Sequence[Question]
) -> list[Problem]:
    """One problem a model and reason, in the order of the questions, whoever was answered first."""
    place = {question.incident: number for number, question in enumerate(questions)}
    found = []
    for (model, reason), told_of in told.items():
        incidents = sorted(set(told_of), key=place.__getitem__)
        of = f"incident{'s' if len(incidents) > 1 else ''} {', '.join(incidents)}"
        found.append((place[incidents[0]], Problem(model, f"{reason} ({of})")))
    return [problem for _, problem in sorted(found, key=lambda one: one[0])]
