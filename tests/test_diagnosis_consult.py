"""Asking models about a run: once a cause, within the limit, and never worse than offline."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from heisenberg import pipeline
from heisenberg.backoff import Backoff
from heisenberg.diagnosis.answer import read_answer
from heisenberg.diagnosis.answer_file import AnswerFile, NoAnswers
from heisenberg.diagnosis.answers import AnswerKey
from heisenberg.diagnosis.circuit import Circuit, CircuitOpenError
from heisenberg.diagnosis.consult import Consultant, Consultation, most_tokens
from heisenberg.diagnosis.prices import Prices, load_prices
from heisenberg.diagnosis.prompt import write_prompt
from heisenberg.diagnosis.provider import Access, Prompt, Reply
from heisenberg.diagnosis.providers.registry import make_provider
from heisenberg.diagnosis.spending import CallOutcome, RunLedger
from heisenberg.errors import (
    EngineAuthenticationError,
    EngineContextError,
    EngineOverloadedError,
    EngineRejectedError,
    EngineTimeoutError,
    EngineUnreachableError,
)
from model_replies import agreeing, inventing
from model_server import KEY
from model_switches import (
    CONTEXT_TOO_LONG,
    DROP,
    HANG,
    INVALID_JSON,
    MODEL_NOT_FOUND,
    OVERLOADED,
    REFUSAL,
    SERVER_ERROR,
    UNAUTHORIZED,
    WRONG_SCHEMA,
    rate_limited,
)
from servers import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from heisenberg.diagnosis.answers import Answers
    from heisenberg.diagnosis.consult import Exchange
    from heisenberg.diagnosis.provider import Provider
    from heisenberg.model.question import Question
    from model_server import ModelServer
    from model_switches import Switch

EXAMPLE = Path(__file__).parents[1] / "examples" / "checkout"
TWO = Path(__file__).parent / "data" / "cases" / "two-causes-1"
MODEL = "anthropic:claude-sonnet-5"
OTHER = "openai:gpt-5-mini"
RETRIES = 2


@pytest.fixture(scope="module")
def prepared() -> pipeline.Prepared:
    """One incident and its question."""
    return pipeline.prepare([EXAMPLE], context_tokens=4000)


@pytest.fixture(scope="module")
def question(prepared: pipeline.Prepared) -> Question:
    (question,) = prepared.questions
    return question


def access(server: ModelServer, name: str = MODEL, timeout_s: float = 20.0) -> Access:
    url = server.anthropic_url if name.startswith("anthropic") else server.openai_url
    return Access(api_key=KEY, base_url=url, timeout_s=timeout_s)


class Desk:
    """A consultant with its books open."""

    def __init__(  # noqa: PLR0913 (each has its default)
        self,
        server: ModelServer,
        *names: str,
        limit_usd: float = 1.0,
        answers: Answers | None = None,
        prices: Prices | None = None,
        timeout_s: float = 20.0,
        deadline_s: float = 120.0,
    ) -> None:
        names = names or (MODEL,)
        self.providers: list[Provider] = [
            make_provider(name, access(server, name, timeout_s)) for name in names
        ]
        self.ledger = RunLedger(limit_usd)
        self.waits: list[float] = []
        self.exchanges: list[Exchange] = []
        self.consultant = Consultant(
            self.providers,
            prices=prices or load_prices(None),
            answers=answers or NoAnswers(),
            ledger=self.ledger,
            retrying=self.retrying,
            deadline_s=deadline_s,
            on_exchange=self.exchanges.append,
        )

    def retrying(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def no_sleep(_: float) -> None:
            return

        backoff = Backoff(
            RETRIES,
            sleep=no_sleep,
            deadline_s=None,
            on_wait=lambda wait: self.waits.append(wait.delay_s),
        )

        async def again(*arguments: object) -> Any:
            return await backoff.run("model", lambda: function(*arguments))

        return again

    async def ask(self, *questions: Question) -> Consultation:
        try:
            return await self.consultant.consult(questions)
        finally:
            for provider in self.providers:
                await provider.close()

    @property
    def outcomes(self) -> list[CallOutcome]:
        return [call.outcome for call in self.ledger.calls]


ANSWER = (
    '{"owner": "product", "mechanism": "unhandled_exception", "symptom": "timeout", '
    '"component": "payments", "root_cause": {"text": "charge fails: KeyError USD", "evidence": '
    """[{"item": "E2", "quote": "KeyError: 'USD'"}]}, """
    '"suggested_fix": {"action": "handle_case", "target": "", "evidence": []}, '
    '"alternatives": [], "missing": [], "confidence": 0.9}'
)
ABSTENTION = ANSWER.replace('"product"', '"insufficient_evidence"')
DEAR = "anthropic:claude-opus-4-1"
UNPRICED = "openai:brand-new-model"


class Scripted:
    """A provider of which every ask is scripted: an error, an answer, or something to wait for."""

    def __init__(self, *script: Exception | str | asyncio.Event, name: str = DEAR) -> None:
        """The last of the script is for all further asks."""
        self.name = name
        self.script = list(script) or [ANSWER]
        self.prompts: list[Prompt] = []
        self.beside = self.most_beside = 0

    async def ask(self, prompt: Prompt, read: Callable[[str], Any]) -> Reply[Any]:
        self.prompts.append(prompt)
        does = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.beside += 1
        self.most_beside = max(self.most_beside, self.beside)
        try:
            await asyncio.sleep(0)
            if isinstance(does, asyncio.Event):
                await does.wait()
                does = ANSWER
        finally:
            self.beside -= 1
        if isinstance(does, Exception):
            raise does
        return Reply(read(does), 4000, 1000)

    async def close(self) -> None:
        """There is nothing to give up."""


def again_and_again(
    function: Callable[..., Awaitable[Any]],
) -> Callable[..., Awaitable[Any]]:
    """Three retries, without a wait."""

    async def again(*arguments: object) -> Any:
        return await Backoff(3, 0, 0).run("model", lambda: function(*arguments))

    return again


def consultant(*providers: Provider, ledger: RunLedger, **more: Any) -> Consultant:
    """With nothing kept between runs."""
    return Consultant(
        providers,
        ledger=ledger,
        **{
            "prices": load_prices(None),
            "answers": NoAnswers(),
            "retrying": again_and_again,
            **more,
        },
    )


def most_usd(question: Question, name: str = DEAR) -> float:
    """What a try is reserved at."""
    prices = load_prices(None)
    return (prices.of(name) or prices.dearest).cost_usd(*most_tokens(write_prompt(question, 1500)))


def paid(name: str = DEAR, input_tokens: int = 4000, output_tokens: int = 1000) -> float:
    """What tokens cost, as they count."""
    prices = load_prices(None)
    return (prices.of(name) or prices.dearest).cost_usd(input_tokens, output_tokens)


def several(question: Question, count: int) -> list[Question]:
    """As many questions that differ in nothing but the incident that they are about."""
    return [replace(question, incident=f"i{n}", fingerprint=f"f{n}") for n in range(count)]


def reasons(found: Consultation) -> str:
    return "\n".join(f"{p.source}: {p.reason}" for p in found.problems)


class TestAnswers:
    @pytest.mark.parametrize("name", [MODEL, OTHER])
    async def test_a_proven_answer_is_the_diagnosis(
        self, model_server: ModelServer, prepared: pipeline.Prepared, name: str
    ) -> None:
        """With its engine, prompt, tokens and cost, in the incident that it is about."""
        model_server.answer = agreeing
        desk = Desk(model_server, name)

        report = (await desk.ask(*prepared.questions)).apply(prepared.report)

        said = report.incidents[0].diagnosis
        assert (name, "diagnosis-1") == (said.engine, said.prompt)
        assert said.input_tokens > 0 < said.output_tokens
        assert said.cost_usd == desk.ledger.spent_usd > 0
        assert [CallOutcome.ANSWERED] == desk.outcomes
        assert prepared.report.problems == report.problems

    async def test_one_call_a_cause(self, model_server: ModelServer) -> None:
        """Two causes of many tests are two calls, each about its own."""
        questions = pipeline.prepare(
            [TWO / "report.json"], [TWO / "logs"], context_tokens=4000
        ).questions
        model_server.answer = agreeing

        found = await Desk(model_server).ask(*questions)

        assert 2 == len(model_server.requests) == len(questions)
        assert {q.incident for q in questions} == {x.question.incident for x in found.exchanges}

    async def test_invented_evidence_leaves_the_offline_diagnosis(
        self, model_server: ModelServer, prepared: pipeline.Prepared
    ) -> None:
        """It was paid for, so tokens and cost are told; the report says what was dropped."""
        model_server.answer = inventing
        desk = Desk(model_server)

        found = await desk.ask(*prepared.questions)

        before = prepared.report.incidents[0].diagnosis
        after = found.apply(prepared.report).incidents[0].diagnosis
        assert ("offline/1", "") == (after.engine, after.prompt)
        assert (before.root_cause, before.evidence) == (after.root_cause, after.evidence)
        assert after.cost_usd > 0
        assert [CallOutcome.UNPROVEN] == desk.outcomes
        assert "dropped root_cause of its answer: a quote does not stand in E1" in reasons(found)
        assert "E77 was not sent; the offline diagnosis stands" in reasons(found)

    async def test_an_incident_without_evidence_is_told_of(
        self, model_server: ModelServer, question: Question
    ) -> None:
        """Nothing of it could be shown, so nothing is asked."""
        found = await Desk(model_server).ask(replace(question, items=()))

        assert ([], ()) == (model_server.requests, found.exchanges)
        assert "nothing that it could be shown was found" in reasons(found)

    async def test_nothing_is_asked_without_evidence(self, model_server: ModelServer) -> None:
        """Nor about a green run."""
        found = await Desk(model_server).ask()

        assert ((), (), []) == (found.exchanges, found.problems, model_server.requests)


class TestFailures:
    """Every way in which a provider may fail: what is tried again, told and booked."""

    @pytest.mark.parametrize(
        ("switch", "tries", "outcome", "told"),
        [
            (UNAUTHORIZED, 1, CallOutcome.UNAUTHORIZED, "key"),
            (MODEL_NOT_FOUND, 1, CallOutcome.REJECTED, "claude-sonnet-5"),
            (rate_limited(), 3, CallOutcome.UNAVAILABLE, "rate limit"),
            (rate_limited(retry_after=9), 3, CallOutcome.UNAVAILABLE, "rate limit"),
            (SERVER_ERROR, 3, CallOutcome.UNAVAILABLE, "failed inside"),
            (OVERLOADED, 3, CallOutcome.UNAVAILABLE, "overloaded"),
            (DROP, 3, CallOutcome.UNAVAILABLE, ""),
            (REFUSAL, 1, CallOutcome.MALFORMED, "refus"),
            (WRONG_SCHEMA, 2, CallOutcome.MALFORMED, ""),
            (INVALID_JSON, 2, CallOutcome.MALFORMED, ""),
        ],
        ids=str,
    )
    async def test_the_offline_diagnosis_stands(  # noqa: PLR0913, PLR0917 (a table's columns)
        self,
        model_server: ModelServer,
        prepared: pipeline.Prepared,
        switch: Switch,
        tries: int,
        outcome: CallOutcome,
        told: str,
    ) -> None:
        """Whatever goes wrong, the report is whole and says why no model's word is in it."""
        model_server.will(*[switch] * 5)
        desk = Desk(model_server)

        found = await desk.ask(*prepared.questions)

        assert prepared.report.incidents == found.apply(prepared.report).incidents
        assert tries == len(model_server.requests)
        assert [outcome] * (1 if outcome is CallOutcome.MALFORMED else tries) == desk.outcomes
        assert told.lower() in reasons(found).lower()
        assert (
            f"the offline diagnosis stands (incident {prepared.questions[0].incident})"
            in reasons(found)
        )
        assert KEY not in reasons(found)

    async def test_a_hanging_server_costs_its_time_out(
        self, model_server: ModelServer, prepared: pipeline.Prepared
    ) -> None:
        """And no more, however often it is tried."""
        model_server.will(*[HANG] * 5)
        desk = Desk(model_server, timeout_s=0.2)

        async with asyncio.timeout(10):
            found = await desk.ask(*prepared.questions)

        assert [CallOutcome.UNAVAILABLE] * (RETRIES + 1) == desk.outcomes
        assert all(call.input_tokens > 1000 for call in desk.ledger.calls)  # an estimate
        assert () == found.exchanges

    async def test_a_silent_model_leaves_time_to_the_next(
        self, model_server: ModelServer, prepared: pipeline.Prepared
    ) -> None:
        """Each has its part of the time, however long its own time-out is."""
        model_server.will(HANG)
        model_server.answer = agreeing
        desk = Desk(model_server, MODEL, OTHER, deadline_s=2.0)

        found = await desk.ask(*prepared.questions)

        assert [OTHER] == [x.model for x in found.exchanges]
        assert f"{MODEL}: not all was answered within 2 s; the next model was asked" in reasons(
            found
        )

    async def test_what_succeeds_later_is_no_problem(
        self, model_server: ModelServer, prepared: pipeline.Prepared
    ) -> None:
        """The server's Retry-After is obeyed, and the answer counts."""
        model_server.will(rate_limited(retry_after=33), OVERLOADED)
        model_server.answer = agreeing
        desk = Desk(model_server)

        found = await desk.ask(*prepared.questions)

        assert 33 == desk.waits[0]
        assert (1, ()) == (len(found.exchanges), found.problems)

    async def test_the_next_model_is_asked(
        self, model_server: ModelServer, prepared: pipeline.Prepared
    ) -> None:
        """When one does not answer; the report tells of it all the same."""
        model_server.will(UNAUTHORIZED)
        model_server.answer = agreeing
        desk = Desk(model_server, MODEL, OTHER)

        found = await desk.ask(*prepared.questions)

        assert [OTHER] == [x.model for x in found.exchanges]
        assert [CallOutcome.UNAUTHORIZED, CallOutcome.ANSWERED] == desk.outcomes
        assert "the next model was asked" in reasons(found)

    async def test_one_reason_is_told_once(self, model_server: ModelServer) -> None:
        """For all the incidents that it is about."""
        questions = pipeline.prepare(
            [TWO / "report.json"], [TWO / "logs"], context_tokens=4000
        ).questions
        model_server.will(*[MODEL_NOT_FOUND] * 4)

        (problem,) = (await Desk(model_server).ask(*questions)).problems

        assert problem.reason.endswith(f"(incidents {', '.join(q.incident for q in questions)})")

    async def test_too_long_is_asked_again_with_less(
        self, model_server: ModelServer, prepared: pipeline.Prepared
    ) -> None:
        """And only what was sent then may be cited."""
        model_server.will(CONTEXT_TOO_LONG, CONTEXT_TOO_LONG)
        model_server.answer = agreeing
        desk = Desk(model_server)

        (exchange,) = (await desk.ask(*prepared.questions)).exchanges

        sizes = [len(asked.user) for asked in model_server.questions]
        assert sizes == sorted(sizes, reverse=True)
        assert len(set(sizes)) == 3
        assert len(exchange.question.items) < len(prepared.questions[0].items)
        assert [CallOutcome.REJECTED, CallOutcome.REJECTED, CallOutcome.ANSWERED] == desk.outcomes

    async def test_too_long_even_at_its_shortest(
        self, model_server: ModelServer, prepared: pipeline.Prepared
    ) -> None:
        """Then the offline diagnosis stands."""
        model_server.will(*[CONTEXT_TOO_LONG] * 9)

        found = await Desk(model_server).ask(*prepared.questions)

        assert 3 == len(model_server.requests)
        assert "the offline diagnosis stands" in reasons(found)


class TestSpending:
    async def test_beyond_the_limit_nothing_is_sent(
        self, model_server: ModelServer, prepared: pipeline.Prepared
    ) -> None:
        """Not even once: what a call may cost is set aside before it is made."""
        desk = Desk(model_server, limit_usd=0.001)

        found = await desk.ask(*prepared.questions)

        assert ([], []) == (model_server.requests, desk.outcomes)
        assert "the limit of spending is reached" in reasons(found)

    async def test_what_was_set_aside_comes_back(
        self, model_server: ModelServer, question: Question
    ) -> None:
        """After an answer, a failure and a cancellation alike."""
        model_server.answer = agreeing
        model_server.will(SERVER_ERROR, SERVER_ERROR, SERVER_ERROR)
        desk = Desk(model_server)
        await desk.consultant.consult([question])
        await desk.consultant.consult([question])
        model_server.will(HANG)
        asking = asyncio.create_task(desk.consultant.consult([question]))
        await asyncio.to_thread(wait_until, lambda: len(model_server.requests) == 5, "asked")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await desk.ask()

        assert [
            *[CallOutcome.UNAVAILABLE] * 3,
            CallOutcome.ANSWERED,
            CallOutcome.ABANDONED,
        ] == desk.outcomes
        assert desk.ledger._reserved_usd == pytest.approx(0)
        assert desk.ledger.calls[-1].input_tokens > 1000

    async def test_a_model_without_a_price_is_told_of(
        self, model_server: ModelServer, prepared: pipeline.Prepared
    ) -> None:
        """Its cost counts as 0, and against the limit as the dearest."""
        model_server.answer = agreeing
        unknown = "anthropic:someone-else"

        found = await Desk(model_server, unknown).ask(*prepared.questions)
        poor = await Desk(model_server, unknown, limit_usd=0.05).ask(*prepared.questions)

        assert "no price of it is known" in reasons(found)
        assert 0 == found.exchanges[0].cost_usd
        assert "the limit of spending is reached" in reasons(poor)


class TestTries:
    """Each try is reserved, asked and booked for itself."""

    async def test_tries_that_failed_are_paid(self, question: Question) -> None:
        """Their tokens are in the books, in the diagnosis, and count against the limit."""
        slow = EngineTimeoutError("too slow", input_tokens=4000, output_tokens=1500)
        ledger = RunLedger(5)

        found = await consultant(Scripted(slow, slow, ANSWER), ledger=ledger).consult([question])

        (exchange,) = found.exchanges
        assert [(4000, 1500), (4000, 1500), (4000, 1000)] == [
            (call.input_tokens, call.output_tokens) for call in ledger.calls
        ]
        assert (12_000, 4000) == (exchange.input_tokens, exchange.output_tokens)
        assert paid(DEAR, 12_000, 4000) == pytest.approx(exchange.cost_usd)
        assert exchange.cost_usd == pytest.approx(ledger.spent_usd)

    async def test_a_try_beyond_the_limit_is_not_made(self, question: Question) -> None:
        """What earlier tries took is not there any more."""
        slow = EngineTimeoutError("too slow", input_tokens=4000, output_tokens=1500)
        ledger = RunLedger(most_usd(question) * 1.05)
        model = Scripted(slow, slow, slow, ANSWER)

        found = await consultant(model, ledger=ledger).consult([question])

        assert 1 == len(model.prompts) == len(ledger.calls)
        assert "the limit of spending is reached" in reasons(found)
        assert f"took 5500 tokens, {ledger.spent_usd:.4f} USD" in reasons(found)
        assert 0 == pytest.approx(ledger._reserved_usd)

    async def test_the_limit_holds_side_by_side(self, question: Question) -> None:
        """Of three questions at once one is asked when there is money for one."""
        ledger = RunLedger(paid() + 1.5 * most_usd(question))
        go = asyncio.Event()
        model = Scripted(ANSWER, go)

        asking = asyncio.create_task(consultant(model, ledger=ledger).consult(several(question, 4)))
        await asyncio.sleep(0.05)
        go.set()
        found = await asking

        assert 2 == len(model.prompts) == len(found.exchanges)

    async def test_a_model_without_a_price_has_a_limit(self, question: Question) -> None:
        """That of the dearest; what is shown is 0."""
        ledger = RunLedger(0.5)
        model = Scripted(name=UNPRICED)

        await consultant(model, ledger=ledger).consult(several(question, 30))

        assert len(model.prompts) * paid(UNPRICED) <= 0.5
        assert 1 <= len(model.prompts) < 30
        assert {0.0} == {call.cost_usd for call in ledger.calls}

    @pytest.mark.parametrize("limit_usd", [0.0, float("nan")])
    async def test_a_free_model_follows_when_the_limit_is_reached(
        self, question: Question, limit_usd: float
    ) -> None:
        """The chain goes on."""
        dear, free = Scripted(), Scripted(name="ollama:qwen3:8b")

        found = await consultant(dear, free, ledger=RunLedger(limit_usd)).consult([question])

        assert (0, 1) == (len(dear.prompts), len(free.prompts))
        assert "the limit of spending is reached" in reasons(found)
        assert "the next model was asked" in reasons(found)

    async def test_a_call_that_is_not_made_is_not_booked(self, question: Question) -> None:
        """Nor does it keep money."""
        ledger = RunLedger(5)
        model = Scripted(EngineAuthenticationError("no such key"))

        found = await consultant(Circuit(model), ledger=ledger).consult(several(question, 9))

        assert 1 == len(model.prompts) == len(ledger.calls)
        assert 0 == pytest.approx(ledger._reserved_usd)
        assert 2 == len(found.problems)


class TestOurErrors:
    """They lose neither the report nor the money."""

    async def test_a_judge_that_fails(
        self, prepared: pipeline.Prepared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The call is booked, nothing stays reserved, and the report says why it is offline."""

        def fails(*_: object, **__: object) -> None:
            raise IndexError("a secret of the answer")

        monkeypatch.setattr("heisenberg.diagnosis.consult.judge", fails)
        ledger, told = RunLedger(5), list[Exception]()

        found = await consultant(Scripted(), ledger=ledger, on_error=told.append).consult(
            prepared.questions
        )

        assert found.apply(prepared.report).incidents == prepared.report.incidents
        assert "an error of ours (IndexError); the offline diagnosis stands" in reasons(found)
        assert "secret" not in reasons(found)
        assert [(CallOutcome.UNPROVEN, 4000, 1000)] == [
            (call.outcome, call.input_tokens, call.output_tokens) for call in ledger.calls
        ]
        assert 0 == pytest.approx(ledger._reserved_usd)
        assert 1 == len(told)

    async def test_a_provider_that_fails_in_its_own_way(self, question: Question) -> None:
        """One model's library does not keep the next one from being asked."""
        ledger = RunLedger(5)

        found = await consultant(
            Scripted(OSError("disk")), Scripted(name="ollama:x"), ledger=ledger
        ).consult([question])

        assert 1 == len(found.exchanges)
        assert "an error of ours (OSError); the next model was asked" in reasons(found)
        assert 0 == pytest.approx(ledger._reserved_usd)

    async def test_a_listener_that_fails(self, question: Question) -> None:
        """The answer counts all the same."""

        def fails(_: object) -> None:
            raise OSError("disk")

        found = await consultant(Scripted(), ledger=RunLedger(5), on_exchange=fails).consult(
            [question]
        )

        assert 1 == len(found.exchanges)
        assert "an error of ours (OSError)" in reasons(found)


class TestTime:
    async def test_one_deadline_for_all(self, question: Question) -> None:
        """What is not answered then is offline, told once, booked, and holds nothing."""
        ledger = RunLedger(50)
        model = Scripted(ANSWER, asyncio.Event())

        async with asyncio.timeout(5):
            found = await consultant(model, ledger=ledger, deadline_s=0.2).consult(
                several(question, 9)
            )

        told = "not all was answered within 0.2 s; the offline diagnosis stands (incidents i1, i2"
        assert 1 == len(found.exchanges)
        assert 1 == reasons(found).count("not all was answered")
        assert told in reasons(found)
        assert [CallOutcome.ANSWERED, *[CallOutcome.ABANDONED] * 4] == [
            call.outcome for call in ledger.calls
        ]
        assert 0 == pytest.approx(ledger._reserved_usd)

    async def test_a_silent_first_question_leaves_time_to_the_others(
        self, question: Question
    ) -> None:
        """It may take half of it."""
        ledger = RunLedger(50)
        model = Scripted(asyncio.Event(), ANSWER, ANSWER)

        async with asyncio.timeout(10):
            found = await consultant(model, ledger=ledger, deadline_s=2).consult(
                several(question, 3)
            )

        assert ["i1", "i2"] == [x.question.incident for x in found.exchanges]
        assert "not all was answered within 2 s" in reasons(found)
        assert 0 == pytest.approx(ledger._reserved_usd)

    @pytest.mark.parametrize(("slow_s", "is_open"), [(0.05, True), (60.0, False)])
    async def test_silence_opens_the_circuit(self, slow_s: float, is_open: bool) -> None:
        """A request that was given up after long waiting is a failure, and a short one is none."""
        circuit = Circuit(Scripted(asyncio.Event()), failures=2, slow_s=slow_s)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await circuit.ask(Prompt("say", "something", {}, 100), read_answer)

        assert is_open == circuit.is_open

    async def test_turns_are_shared(self, question: Question) -> None:
        """By all consultations that are given the same ones."""
        turns = asyncio.Semaphore(2)
        model = Scripted()
        await asyncio.gather(
            *(
                consultant(model, ledger=RunLedger(50), turns=turns).consult(several(question, 5))
                for _ in range(4)
            )
        )

        assert (20, 2) == (len(model.prompts), model.most_beside)


class TestAskedOnce:
    async def test_twins_of_one_run(self, question: Question) -> None:
        """The same question is asked once, though nothing is kept."""
        model = Scripted()

        found = await consultant(model, ledger=RunLedger(5)).consult(
            [replace(question, incident=f"i{n}") for n in range(4)]
        )

        assert 1 == len(model.prompts)
        assert [False, True, True, True] == [x.was_kept for x in found.exchanges]
        assert 3 == [x.cost_usd for x in found.exchanges].count(0)

    async def test_twins_of_one_that_failed(self, question: Question) -> None:
        """Each gets its chance."""
        model = Scripted(EngineOverloadedError("busy"))
        once = consultant(model, ledger=RunLedger(5), retrying=lambda function: function)

        await once.consult([replace(question, incident=f"i{n}") for n in range(2)])

        assert 2 == len(model.prompts)

    async def test_the_first_one_alone(self, question: Question) -> None:
        """The others are asked once it is known whether there is any point."""
        go = asyncio.Event()
        model = Scripted(go, ANSWER)
        asking = asyncio.create_task(
            consultant(model, ledger=RunLedger(50)).consult(several(question, 5))
        )
        await asyncio.sleep(0.05)
        before = len(model.prompts)
        go.set()
        await asking

        assert (1, 5) == (before, len(model.prompts))

    async def test_too_long_is_never_sent_twice(self, question: Question) -> None:
        """With few items the shares come down to the same."""
        model = Scripted(EngineContextError("too long"))

        await consultant(model, ledger=RunLedger(5)).consult(
            [replace(question, items=question.items[:2])]
        )

        sent = [prompt.user for prompt in model.prompts]
        assert len(set(sent)) == len(sent)

    async def test_what_was_kept_tells_the_prompt_that_was_sent(
        self, question: Question, tmp_path: Path
    ) -> None:
        """Shortened, as it was."""
        model = Scripted(EngineContextError("too long"), ANSWER)
        found: list[Exchange] = []
        for _ in range(2):
            answers = AnswerFile(tmp_path / "answers.db")
            asking = consultant(model, ledger=RunLedger(5), answers=answers)
            found += (await asking.consult([question])).exchanges
            await answers.close()

        new, kept = found
        assert (False, True) == (new.was_kept, kept.was_kept)
        assert new.prompt.user == kept.prompt.user == model.prompts[-1].user


class TestTold:
    async def test_an_abstention(self, question: Question) -> None:
        """Is told as what it is."""
        found = await consultant(Scripted(ABSTENTION), ledger=RunLedger(5)).consult([question])

        assert "the model finds the evidence insufficient; the offline" in reasons(found)
        assert "dropped" not in reasons(found)
        assert "proven" not in reasons(found)

    async def test_the_circuit_is_told_once(self, question: Question) -> None:
        """However much time passes between the questions."""
        now = [0.0]

        def clock() -> float:
            now[0] += 0.7
            return now[0]

        circuit = Circuit(Scripted(EngineOverloadedError("busy")), clock=clock)
        once = consultant(circuit, ledger=RunLedger(50), retrying=lambda function: function)

        found = await once.consult(several(question, 30))

        assert 2 == len(found.problems)


class TestKept:
    async def test_the_same_question_is_asked_once(
        self, model_server: ModelServer, prepared: pipeline.Prepared, tmp_path: Path
    ) -> None:
        """Its answer is kept, in a file for its owner alone, and costs nothing again."""
        model_server.answer = agreeing
        path = tmp_path / "cache" / "answers.db"
        first = await Desk(model_server, answers=AnswerFile(path)).ask(*prepared.questions)
        desk = Desk(model_server, answers=AnswerFile(path))
        again = await desk.ask(*prepared.questions)

        (one,), (two,) = first.exchanges, again.exchanges
        assert 1 == len(model_server.requests)
        assert (True, 0, 0.0) == (two.was_kept, two.input_tokens, two.cost_usd)
        assert one.judgement == two.judgement
        assert ([], 0o600) == (desk.outcomes, path.stat().st_mode & 0o777)

    @pytest.mark.parametrize("change", ["model", "evidence"])
    async def test_another_question_is_asked(
        self, model_server: ModelServer, question: Question, tmp_path: Path, change: str
    ) -> None:
        """Another model, or other evidence."""
        model_server.answer = agreeing
        path = tmp_path / "answers.db"
        await Desk(model_server, answers=AnswerFile(path)).ask(question)
        other = (
            question
            if change == "model"
            else pipeline.prepare([EXAMPLE], context_tokens=2600).questions[0]
        )
        name = "anthropic:claude-haiku-5-5" if change == "model" else MODEL
        await Desk(model_server, name, answers=AnswerFile(path)).ask(other)

        assert 2 == len(model_server.requests)

    async def test_who_asks_at_once_waits_for_one_answer(
        self, model_server: ModelServer, question: Question, tmp_path: Path
    ) -> None:
        """Several runs that share a file make one call."""
        model_server.answer = agreeing
        path = tmp_path / "answers.db"
        desks = [Desk(model_server, answers=AnswerFile(path)) for _ in range(5)]

        found = await asyncio.gather(*(desk.ask(question) for desk in desks))

        assert 1 == len(model_server.requests)
        assert [1] * 5 == [len(one.exchanges) for one in found]

    async def test_who_waits_for_one_that_fails_asks(
        self, model_server: ModelServer, question: Question, tmp_path: Path
    ) -> None:
        """A claim ends with the failure, not with its time."""
        model_server.answer = agreeing
        model_server.will(MODEL_NOT_FOUND)
        path = tmp_path / "answers.db"
        desks = [Desk(model_server, answers=AnswerFile(path)) for _ in range(2)]

        async with asyncio.timeout(20):
            found = await asyncio.gather(*(desk.ask(question) for desk in desks))

        assert [0, 1] == sorted(len(one.exchanges) for one in found)

    async def test_a_claim_of_one_who_vanished_ends(
        self, question: Question, tmp_path: Path
    ) -> None:
        """After a while by itself; an answer expires later."""
        now = [1_000_000.0]
        path = tmp_path / "answers.db"
        key = AnswerKey(question.fingerprint, "d", question.prompt, MODEL)
        vanished = AnswerFile(path, clock=lambda: now[0])
        later = AnswerFile(path, clock=lambda: now[0])
        assert await vanished.claim(key)
        assert not await later.claim(key)
        now[0] += 200
        assert await later.claim(key)
        await later.put(key, "{}")
        assert "{}" == await vanished.get(key)
        now[0] += 31 * 24 * 3600
        assert await vanished.get(key) is None
        assert await vanished.claim(key)

    @pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
    async def test_a_file_that_is_none_costs_a_call(
        self, model_server: ModelServer, question: Question, tmp_path: Path, content: bytes
    ) -> None:
        """And fails nothing."""
        model_server.answer = agreeing
        path = tmp_path / "answers.db"
        path.write_bytes(content)

        found = await Desk(model_server, answers=AnswerFile(path)).ask(question)

        assert 1 == len(found.exchanges)

    async def test_a_kept_answer_that_cannot_be_read_is_asked_for_anew(
        self, model_server: ModelServer, question: Question, tmp_path: Path
    ) -> None:
        """Whatever another version, or somebody else, has written there."""
        model_server.answer = agreeing
        path = tmp_path / "answers.db"
        await Desk(model_server, answers=AnswerFile(path)).ask(question)
        with sqlite3.connect(path) as file:
            file.execute('UPDATE answers SET answer = \'{"items": 1, "answer": 7}\'')
        file.close()

        async with asyncio.timeout(10):
            found = await Desk(model_server, answers=AnswerFile(path)).ask(question)

        assert 2 == len(model_server.requests)
        assert not found.exchanges[0].was_kept


class TestCircuit:
    """A provider that keeps failing is left alone for a while."""

    @staticmethod
    async def ask(circuit: Circuit) -> str:
        schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
        reply = await circuit.ask(Prompt("say", "something", schema, 100), str)
        return reply.answer

    async def test_opens_and_closes_by_itself(self, model_server: ModelServer) -> None:
        """After failures in a row; one request then tries whether it is back."""
        now = [0.0]
        model_server.will(SERVER_ERROR, SERVER_ERROR, SERVER_ERROR)
        circuit = Circuit(
            make_provider(MODEL, access(model_server)), failures=2, open_s=30, clock=lambda: now[0]
        )
        for _ in range(2):
            with pytest.raises(Exception, match="failed inside"):
                await self.ask(circuit)
        assert circuit.is_open
        with pytest.raises(CircuitOpenError, match="kept failing"):
            await self.ask(circuit)
        assert 2 == len(model_server.requests)
        now[0] = 31
        with pytest.raises(Exception, match="failed inside"):
            await self.ask(circuit)
        assert circuit.is_open
        now[0] = 62
        await self.ask(circuit)
        await circuit.close()

        assert not circuit.is_open
        assert 4 == len(model_server.requests)

    async def test_a_request_that_began_before_does_not_close_it(self) -> None:
        """Whatever comes of it: only the one that tries an open circuit tells that it is back."""
        first = asyncio.Event()

        class Provider:
            name = MODEL
            asked = 0

            async def ask(self, prompt: object, read: object) -> Any:  # noqa: ARG002 (the interface's)
                self.asked += 1
                if self.asked == 1:
                    await first.wait()
                    raise EngineRejectedError("refused")
                raise EngineAuthenticationError("no such key")

            async def close(self) -> None:
                """Nothing is open."""

        circuit = Circuit(Provider())
        early = asyncio.create_task(self.ask(circuit))
        await asyncio.sleep(0)
        with pytest.raises(EngineAuthenticationError):
            await self.ask(circuit)
        first.set()
        with pytest.raises(EngineRejectedError):
            await early

        assert circuit.is_open

    async def test_a_refused_key_opens_it_at_once(self, model_server: ModelServer) -> None:
        """The next request would have the same key."""
        model_server.will(UNAUTHORIZED)
        circuit = Circuit(make_provider(MODEL, access(model_server)))
        with pytest.raises(Exception, match="key"):
            await self.ask(circuit)
        await circuit.close()

        assert circuit.is_open

    async def test_a_refused_request_says_nothing_about_the_provider(
        self, model_server: ModelServer
    ) -> None:
        """It is there, and answers."""
        model_server.will(*[MODEL_NOT_FOUND] * 9)
        circuit = Circuit(make_provider(MODEL, access(model_server)), failures=2)
        for _ in range(4):
            with pytest.raises(Exception, match="sonnet"):
                await self.ask(circuit)
        await circuit.close()

        assert not circuit.is_open

    async def test_one_request_alone_tries_it(self) -> None:
        """Those beside it are turned away meanwhile."""
        now = [0.0]
        url = f"http://127.0.0.1:{free_port()}"
        circuit = Circuit(
            make_provider(MODEL, Access(api_key=KEY, base_url=url, timeout_s=5)),
            failures=1,
            open_s=10,
            clock=lambda: now[0],
        )
        with pytest.raises(EngineUnreachableError):
            await self.ask(circuit)
        now[0] = 11
        results = await asyncio.gather(
            *(self.ask(circuit) for _ in range(5)), return_exceptions=True
        )
        await circuit.close()

        kinds: Sequence[type] = [type(result) for result in results]
        assert 1 == kinds.count(EngineUnreachableError)
        assert 4 == kinds.count(CircuitOpenError)
