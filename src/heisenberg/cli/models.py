"""What the commands know about models: options, keys, and having a run's questions answered.

Keys and addresses come from the environment and never from a file `.env` in the working folder:
that belongs to whoever wrote the code under test, who could have the keys sent anywhere.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from heisenberg.errors import HeisenbergError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from heisenberg.diagnosis.answer_file import AnswerFile, NoAnswers
    from heisenberg.diagnosis.calibration import Calibration
    from heisenberg.diagnosis.consult import Consultation, Exchange, Retrying
    from heisenberg.diagnosis.provider import Provider
    from heisenberg.model.question import Question
    from heisenberg.model.report import Report
    from heisenberg.pipeline import Prepared

T = TypeVar("T")

PREFIX = "HEISENBERG_"

ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="PROVIDER:MODEL",
        help="Ask a language model about each incident, such as anthropic:MODEL, openai:MODEL, "
        "gemini:MODEL, ollama:MODEL or compatible:MODEL; repeated, the next one is asked when one "
        "does not answer.",
        show_default=False,
    ),
]
ModelUrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where the (first) model's server is, such as http://localhost:8000/v1.",
        show_default=False,
    ),
]
MaxCostOption = Annotated[
    float | None,
    typer.Option(
        metavar="USD", help="Spend no more than this on the run.", min=0, show_default="0.5"
    ),
]
NoCacheOption = Annotated[
    bool, typer.Option("--no-cache", help="Ask again what was answered before.")
]
TranscriptOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write each prompt as it was sent, its answer, and what was dropped of it, as JSON lines.",
        show_default=False,
    ),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Correct the model's confidence by a file that `heisenberg eval` wrote.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Models:
    """Which models to ask, and how, as options and environment say."""

    names: tuple[str, ...]
    """`PROVIDER:MODEL`, in the order in which they are asked; empty for none."""
    url: str
    """Of the first one's server; empty for the provider's own."""
    max_cost_usd: float
    context_tokens: int
    output_tokens: int
    timeout_s: float
    concurrency: int
    max_retries: int
    base_delay_s: float
    max_delay_s: float
    deadline_s: float
    """Of one question, its tries and waits together."""
    run_deadline_s: float
    """Of all questions about a run."""
    prices: Path | None
    cache: Path | None
    """File of answers; None to keep none."""
    transcript: Path | None
    calibration: Path | None

    @property
    def wanted_tokens(self) -> int | None:
        """What `pipeline.prepare` takes: the budget of a question, None when nothing is asked."""
        return self.context_tokens if self.names else None


def choose(
    model: Sequence[str] | None,
    *,
    model_url: str | None = None,
    max_cost: float | None = None,
    no_cache: bool = False,
    transcript: Path | None = None,
    calibration: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Models:
    """Put options and environment together; an option overrides its variable.

    Raises:
        UsageError: An option or a variable is wrong; names it.
    """
    if max_cost is not None and not max_cost >= 0:
        raise UsageError("--max-cost: is no amount of money")
    said = _Variables(environment)
    names = model or [said.text("MODEL")]
    return Models(
        names=tuple(n.strip() for name in names for n in name.split(",") if n.strip()),
        url=model_url or said.text("MODEL_URL"),
        max_cost_usd=said.number("MODEL_COST_PER_RUN_USD", 0.5) if max_cost is None else max_cost,
        context_tokens=int(said.number("MODEL_CONTEXT_TOKENS", 4000, least=500)),
        output_tokens=int(said.number("MODEL_OUTPUT_TOKENS", 1500, least=100)),
        timeout_s=said.number("MODEL_TIMEOUT_S", 60.0, least=0.1),
        concurrency=int(said.number("MODEL_CONCURRENCY", 4, least=1)),
        max_retries=int(said.number("RETRY_MAX_RETRIES", 3)),
        base_delay_s=said.number("RETRY_BASE_DELAY", 1.0),
        max_delay_s=said.number("RETRY_MAX_DELAY", 60.0),
        deadline_s=said.number("RETRY_DEADLINE_S", 120.0, least=0.1),
        run_deadline_s=said.number("MODEL_DEADLINE_S", 120.0, least=0.1),
        prices=said.path("MODEL_PRICES"),
        cache=None if no_cache else said.path("MODEL_CACHE") or _cache_file(environment),
        transcript=transcript,
        calibration=calibration,
    )


class _Variables:
    """The environment's variables, checked."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str:
        return self._environment.get(PREFIX + name, "").strip()

    def path(self, name: str) -> Path | None:
        return Path(said) if (said := self.text(name)) else None

    def number(self, name: str, default: float, *, least: float = 0.0) -> float:
        said = self.text(name)
        if not said:
            return default
        try:
            value = float(said)
        except ValueError:
            raise UsageError(f"{PREFIX}{name}: {said!r} is no number") from None
        if not least <= value < float("inf"):
            raise UsageError(f"{PREFIX}{name}: has to be {least:g} or more")
        return value


def _cache_file(environment: Mapping[str, str]) -> Path | None:
    """Where answers are kept unless said otherwise; None for a user without a home."""
    folder = environment.get("XDG_CACHE_HOME")
    try:
        base = Path(folder) if folder else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "heisenberg" / "answers.db"


def consult(
    prepared: Prepared, models: Models, tell: Callable[[str], None] = lambda _: None
) -> Report:
    """Have the questions answered, if a model is chosen, and put the answers into the report.

    Args:
        prepared: From `pipeline.prepare`, with questions.
        models: From `choose`.
        tell: Told what is being done.

    Raises:
        UsageError: A model's name, its address or a file is wrong, or the extra is not installed.
        EngineAuthenticationError: A key is missing.
    """
    if not models.names:
        return prepared.report
    from heisenberg.diagnosis.providers.registry import split_name  # noqa: PLC0415 (keeps --help fast)

    for name in models.names:
        split_name(name)
    calibration = _calibration(models)
    if models.transcript is None:
        return _consulted(prepared, models, calibration, lambda _: None, tell)
    from heisenberg.diagnosis.transcript import TranscriptFile  # noqa: PLC0415 (keeps --help fast)
    from heisenberg.model.report import Problem  # noqa: PLC0415 (likewise)

    with closing(TranscriptFile(models.transcript)) as transcript:
        report = _consulted(prepared, models, calibration, transcript.write, tell)
    if not transcript.problem:
        return report
    problem = Problem(models.transcript.name, transcript.problem)
    return replace(report, problems=(*report.problems, problem))


def _consulted(
    prepared: Prepared,
    models: Models,
    calibration: Calibration | None,
    on_exchange: Callable[[Exchange], None],
    tell: Callable[[str], None],
) -> Report:
    if not prepared.questions:
        return prepared.report
    asking = _consult(prepared.questions, models, calibration, on_exchange, tell)
    return asyncio.run(asking).apply(prepared.report)


def _calibration(models: Models) -> Calibration | None:
    """What the file says of the model that is asked.

    Raises:
        UsageError: It cannot be read, or is about another model.
    """
    if models.calibration is None:
        return None
    from heisenberg.diagnosis.calibration import read_calibration  # noqa: PLC0415 (keeps --help fast)

    found = read_calibration(models.calibration)
    if found.engine and found.engine not in models.names:
        raise UsageError(
            f"{models.calibration}: is about {found.engine}, and {', '.join(models.names)} is asked"
        )
    return found


async def _consult(
    questions: Sequence[Question],
    models: Models,
    calibration: Calibration | None,
    on_exchange: Callable[[Exchange], None],
    tell: Callable[[str], None],
) -> Consultation:
    from heisenberg.diagnosis.consult import Consultant  # noqa: PLC0415 (keeps --help fast)
    from heisenberg.diagnosis.prices import load_prices  # noqa: PLC0415 (likewise)
    from heisenberg.diagnosis.spending import RunLedger  # noqa: PLC0415 (likewise)
    from heisenberg.model.report import Problem  # noqa: PLC0415 (likewise)

    def calibrate(name: str) -> Callable[[float], float]:
        if calibration is None or calibration.engine not in {"", name}:
            return lambda stated: stated
        return calibration

    prices = load_prices(models.prices)
    async with AsyncExitStack() as last_first:
        providers = make_providers(models)
        for provider in providers:
            last_first.push_async_callback(provider.close)
        answers = _answers(models)
        last_first.push_async_callback(answers.close)
        consultant = Consultant(
            providers,
            prices=prices,
            answers=answers,
            ledger=RunLedger(models.max_cost_usd),
            retrying=_retrying(models, tell),
            max_output_tokens=models.output_tokens,
            turns=asyncio.Semaphore(models.concurrency),
            deadline_s=models.run_deadline_s,
            calibrate=calibrate,
            on_exchange=on_exchange,
        )
        tell(f"asking {models.names[0]}")
        consultation = await consultant.consult(questions)
    if models.cache is None or not answers.problem:
        return consultation
    problem = Problem(models.cache.name, f"answers are not kept: {answers.problem}")
    return replace(consultation, problems=(*consultation.problems, problem))


def _retrying(models: Models, tell: Callable[[str], None]) -> Retrying:
    """Makes a call try again, and tells of the waits."""
    from heisenberg.backoff import Backoff  # noqa: PLC0415 (keeps --help fast)

    backoff = Backoff(
        models.max_retries,
        models.base_delay_s,
        max(models.base_delay_s, models.max_delay_s),
        deadline_s=models.deadline_s,
        on_wait=lambda wait: tell(f"{wait.error}; trying again in {wait.delay_s:.0f} s"),
    )

    def retrying(function: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        async def again(*arguments: object) -> T:
            return await backoff.run("the model", lambda: function(*arguments))

        return again

    return retrying


def load_in_background(models: Models) -> None:
    """Begin to import what asking takes, seconds of it, while the run is still read."""
    if models.names:
        threading.Thread(target=_load, args=(models.names,), daemon=True).start()


def _load(names: Sequence[str]) -> None:
    from heisenberg.diagnosis.provider import Access  # noqa: PLC0415 (keeps --help fast)
    from heisenberg.diagnosis.providers.registry import make_provider  # noqa: PLC0415 (likewise)

    for name in names:
        with suppress(HeisenbergError):  # told when the provider is made in earnest
            make_provider(name, Access("none", "http://127.0.0.1"))


def forecast(prepared: Prepared, models: Models) -> str:
    """What `consult` would send and cost at most, in one line.

    Raises:
        UsageError: A model's name or the file of prices is wrong.
    """
    from heisenberg.diagnosis.consult import asked_about, most_tokens  # noqa: PLC0415 (keeps --help fast)
    from heisenberg.diagnosis.prices import load_prices  # noqa: PLC0415 (likewise)
    from heisenberg.diagnosis.prompt import estimate, write_prompt  # noqa: PLC0415 (likewise)
    from heisenberg.diagnosis.providers.registry import split_name  # noqa: PLC0415 (likewise)

    questions = asked_about(prepared.questions)
    if not models.names:
        return "no model is chosen (--model): nothing would be sent"
    split_name(models.names[0])
    tokens = sum(estimate(question) for question in questions)
    prices = load_prices(models.prices)
    price = prices.of(models.names[0])
    prompts = [write_prompt(question, models.output_tokens) for question in questions]
    reserved = [(price or prices.dearest).cost_usd(*most_tokens(prompt)) for prompt in prompts]
    most_usd = min(models.max_cost_usd, sum(reserved))
    cost = f"at most, repairs included, {most_usd:.4f} USD"
    if price is None:
        cost = f"a cost that is not known, and counts as {cost}"
    return (
        f"{models.names[0]} would be asked {len(questions)} questions, about {tokens} tokens, for "
        f"{cost}; nothing was sent (`heisenberg redact --show` prints all of it)"
    )


def make_providers(models: Models, environment: Mapping[str, str] = os.environ) -> list[Provider]:
    """The providers of the models that were chosen, in order, each behind a circuit."""
    from heisenberg.diagnosis.circuit import Circuit  # noqa: PLC0415 (keeps --help fast)
    from heisenberg.diagnosis.provider import Access  # noqa: PLC0415 (likewise)
    from heisenberg.diagnosis.providers.registry import (  # noqa: PLC0415 (likewise)
        VENDORS,
        make_provider,
        split_name,
    )

    made: list[Provider] = []
    for name in models.names:
        vendor = VENDORS[split_name(name)[0]]
        first = models.url if not made else ""
        access = Access(
            api_key=_first(environment, vendor.key_variables),
            base_url=first or _first(environment, vendor.base_url_variables),
            timeout_s=models.timeout_s,
        )
        made.append(Circuit(make_provider(name, access)))
    return made


def _first(environment: Mapping[str, str], variables: Sequence[str]) -> str:
    return next((environment[v] for v in variables if environment.get(v)), "")


def _answers(models: Models) -> AnswerFile | NoAnswers:
    from heisenberg.diagnosis import answer_file  # noqa: PLC0415 (keeps --help fast)

    if models.cache is None:
        return answer_file.NoAnswers()
    claim_s = models.run_deadline_s + answer_file.CLAIM_MARGIN_S
    return answer_file.AnswerFile(models.cache, claim_s=claim_s)
