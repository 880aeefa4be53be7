from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import math
import os
import time
import traceback
import tracemalloc
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import pytest

import model_switches as switches
from heisenberg.diagnosis.provider import Access, Prompt, Provider, Reply
from heisenberg.diagnosis.providers.registry import make_provider
from heisenberg.diagnosis.providers.transport import MAX_ANSWER_BYTES
from heisenberg.errors import (
    EngineAnswerError,
    EngineAuthenticationError,
    EngineContextError,
    EngineError,
    EngineOverloadedError,
    EngineRateLimitedError,
    EngineRejectedError,
    EngineTimeoutError,
    EngineUnreachableError,
    TransientEngineError,
)
from model_server import KEY, NO_MODEL, ModelServer
from model_switches import ANSWER, drip, echoing, rate_limited
from model_wires import wire_of
from servers import free_port

if TYPE_CHECKING:
    from model_switches import Switch

PATIENCE_S = 10.0
SHORT_S = 0.3
PATIENCE_S = 15.0
"""Of a busy machine; the server would be silent for ever."""


class Claim(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked for here."""

    owner: Literal["product", "test"]
    note: str | None


SCHEMA = msgspec.json.schema(Claim)
SCHEMA = {**SCHEMA["$defs"]["Claim"], "additionalProperties": False}
CLAIM = Claim("test", "it waits for nothing")
SAID = {"owner": "test", "note": "it waits for nothing"}
SYSTEM = "Say whose failure this is, and answer in the schema, whatever the evidence tells you."
EVIDENCE = (
    "12:00:00 payments ERROR order 4711 of jane@example.com: the pool of connections is empty"
)
PROMPT = Prompt(SYSTEM, EVIDENCE, SCHEMA, max_output_tokens=500)

BOTH = {"anthropic": "anthropic:claude-opus-5-5", "openai": "openai:gpt-5.4"}
"""A model for each wire format."""
ALL = {
    **BOTH,
    "anthropic by tool": "anthropic:claude-opus-4-0",
    "gemini": "gemini:gemini-3.5-flash",
    "ollama": "ollama:qwen3:8b",
    "compatible": "compatible:HuggingFaceTB/SmolLM2-135M-Instruct",
}

read = msgspec.json.Decoder(Claim).decode

both = pytest.mark.parametrize("name", BOTH.values(), ids=BOTH)


@pytest.fixture(autouse=True)
def _no_variables_of_sdks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the proxies and accounts of whoever runs it."""
    for name in list(os.environ):
        if name.upper().startswith(("ANTHROPIC_", "OPENAI_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)


def make(server: ModelServer, name: str, timeout_s: float = PATIENCE_S, key: str = KEY) -> Provider:
    """A provider that is at the server."""
    url = server.anthropic_url if name.startswith("anthropic:") else server.openai_url
    return make_provider(name, Access(key, url, timeout_s))


async def ask(server: ModelServer, name: str, timeout_s: float = PATIENCE_S) -> Reply[Claim]:
    """Ask once, and hang up."""
    provider = make(server, name, timeout_s)
    try:
        return await provider.ask(PROMPT, read)
    finally:
        await provider.close()


@pytest.mark.filterwarnings("ignore:The model 'claude-opus-4-0' is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", ALL.values(), ids=ALL)
async def test_an_answer_is_read_and_counted(model_server: ModelServer, name: str) -> None:
    """The model sees prompt, schema and limit; the answer is read, and its tokens are counted."""
    model_server.answer = SAID
    reply = await ask(model_server, name)

    (question,) = model_server.questions
    written = len(json.dumps(SAID)) // 4
    assert Reply(CLAIM, question.tokens, written) == reply
    assert (SYSTEM, (("user", EVIDENCE),)) == (question.system, question.turns)
    assert (name.partition(":")[2], 500) == (question.model, question.max_tokens)
    assert {"owner", "note"} == set(question.schema["properties"])
    assert ("answer" if "opus-4-0" in name else "") == question.by_tool


class Failure(NamedTuple):
    """What a switch has to end in."""

    switch: Switch
    error: type[EngineError]
    words: str


FAILURES = [
    Failure(switches.UNAUTHORIZED, EngineAuthenticationError, "key"),
    Failure(switches.FORBIDDEN, EngineAuthenticationError, "key"),
    Failure(switches.BAD_REQUEST, EngineRejectedError, "message"),
    Failure(switches.MODEL_NOT_FOUND, EngineRejectedError, "no such model"),
    Failure(switches.NO_CREDIT, EngineRejectedError, "quota or credit"),
    Failure(switches.SPEND_LIMIT, EngineRejectedError, "quota or credit"),
    Failure(switches.CONTEXT_TOO_LONG, EngineContextError, "longer"),
    Failure(switches.CONTEXT_TOO_LONG_LOCALLY, EngineContextError, "longer"),
    Failure(switches.TOO_LARGE, EngineContextError, "larger"),
    Failure(rate_limited(), EngineRateLimitedError, "too many requests"),
    Failure(switches.SERVER_ERROR, TransientEngineError, "server"),
    Failure(switches.BAD_GATEWAY, TransientEngineError, "inside"),
    Failure(switches.GATEWAY_TIMEOUT, TransientEngineError, "imed out"),
    Failure(switches.CONFLICT, TransientEngineError, "409"),
    Failure(switches.UNAVAILABLE, EngineOverloadedError, "not available"),
    Failure(switches.OVERLOADED, EngineOverloadedError, "overloaded"),
    Failure(switches.DROP, EngineUnreachableError, "reset"),
    Failure(switches.DROP_IN_BODY, EngineUnreachableError, "reset"),
    Failure(switches.HTML, EngineAnswerError, "base URL"),
    Failure(switches.HTML_AS_JSON, EngineAnswerError, "base URL"),
    Failure(switches.OTHER_JSON, EngineAnswerError, "base URL"),
    Failure(switches.DEEP_JSON, EngineAnswerError, "base URL"),
    Failure(switches.HUGE, EngineAnswerError, "longer than 4 MiB"),
    Failure(switches.COMPRESSED, EngineAnswerError, "compressed"),
    Failure(switches.REDIRECT, EngineRejectedError, "elsewhere"),
    Failure(switches.GONE, EngineRejectedError, "410"),
    Failure(echoing(400), EngineRejectedError, "not accepted"),
    Failure(echoing(500), TransientEngineError, "inside"),
]


@both
@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f"{f.switch}-{f.error.__name__}")
async def test_each_failure_is_told_as_what_it_is(
    model_server: ModelServer, name: str, failure: Failure
) -> None:
    """One request, our error for it, in one line that names the model and repeats no secret."""
    model_server.will(failure.switch)
    with pytest.raises(EngineError) as caught:
        await ask(model_server, name)

    error = caught.value
    assert (failure.error, 1) == (type(error), len(model_server.requests))
    assert str(error).startswith(f"{name}: ")
    assert failure.words in str(error)
    assert str(error).isprintable()
    assert (0, 0) == (error.input_tokens, error.output_tokens)
    shown = "".join(traceback.format_exception(error))
    assert [] == [secret for secret in (KEY, EVIDENCE, SYSTEM, "4711") if secret in shown]


@both
@pytest.mark.parametrize("first", [switches.OVERLOADED, switches.HUGE, switches.DROP], ids=str)
@pytest.mark.parametrize(
    ("second", "words"), [(switches.BAD_REQUEST, "message"), (switches.HTML, "base URL")]
)
async def test_a_failure_is_not_taken_for_the_one_before(
    model_server: ModelServer, name: str, first: Switch, second: Switch, words: str
) -> None:
    """Whoever asks the next provider while handling an error of the last is told the new error."""
    model_server.will(first, second)
    try:
        await ask(model_server, name)
    except EngineError:
        with pytest.raises(EngineError, match=words) as caught:
            await ask(model_server, name)

    assert type(caught.value) in {EngineRejectedError, EngineAnswerError}
    assert 1 == str(caught.value).count(name)


def places(document: Any) -> list[tuple[Any, Any]]:
    """Each (container, key or index) in a document, however deep."""
    pairs = enumerate(document) if isinstance(document, list) else dict(document).items()
    found = []
    for key, value in list(pairs):
        found.append((document, key))
        if isinstance(value, (dict, list)):
            found += places(value)
    return found


@pytest.mark.filterwarnings("ignore:Failed to extract usage")
@both
async def test_no_odd_envelope_breaks_it(model_server: ModelServer, name: str) -> None:
    """Whatever stands in whatever field of an answer, there is a reply or an error of ours."""
    model_server.answer = SAID
    provider = make(model_server, name)
    await provider.ask(PROMPT, read)
    wire = wire_of(model_server.requests[0])
    (question,) = model_server.questions
    count = len(places(wire.envelope(question, json.dumps(SAID), "stop")))
    odd_values: tuple[Any, ...] = (None, "odd", -7, math.inf, [], {}, [{}])
    outcomes: set[type] = set()
    for index, odd in itertools.product(range(count), odd_values):
        envelope = wire.envelope(question, json.dumps(SAID), "stop")
        container, key = places(envelope)[index]
        container[key] = odd
        model_server.will(switches.sending(envelope), switches.sending(envelope))
        try:
            reply = await provider.ask(PROMPT, read)
        except EngineError as error:
            outcomes.add(type(error))
        else:
            outcomes.add(type(reply))
            assert reply.input_tokens >= 0
            assert reply.output_tokens >= 0
        model_server.forget()
    await provider.close()

    assert {Reply, EngineAnswerError} == outcomes


@both
@pytest.mark.parametrize(
    ("switch", "seconds"),
    [
        (rate_limited(), None),
        (rate_limited(3), 3.0),
        (rate_limited(250, milliseconds=True), 0.25),
        (rate_limited("soon"), None),
        (rate_limited(-5), None),
        (switches.UNAVAILABLE, 7.0),
    ],
)
async def test_how_long_to_wait_is_passed_on(
    model_server: ModelServer, name: str, switch: Switch, seconds: float | None
) -> None:
    """Retry-After in seconds and retry-after-ms are read; nonsense is none."""
    model_server.will(switch)
    with pytest.raises(TransientEngineError) as caught:
        await ask(model_server, name)

    assert seconds == caught.value.retry_after_s


@both
async def test_a_date_to_wait_for_is_passed_on(model_server: ModelServer, name: str) -> None:
    """Retry-After as an HTTP date becomes the seconds until then."""
    then = datetime.now(UTC) + timedelta(hours=1)
    model_server.will(rate_limited(format_datetime(then, usegmt=True)))
    with pytest.raises(EngineRateLimitedError) as caught:
        await ask(model_server, name)

    assert caught.value.retry_after_s == pytest.approx(3600, abs=60)


@both
async def test_a_wrong_key_and_a_wrong_model_are_told(model_server: ModelServer, name: str) -> None:
    """The server itself refuses them; no text of the provider's is repeated that may hold the key."""
    wrong = make(model_server, name, key="sk-wrong-key")
    nowhere = make(model_server, f"{name.partition(':')[0]}:{NO_MODEL}")
    with pytest.raises(EngineAuthenticationError) as unauthorized:
        await wrong.ask(PROMPT, read)
    with pytest.raises(EngineRejectedError, match=NO_MODEL):
        await nowhere.ask(PROMPT, read)
    await wrong.close()
    await nowhere.close()

    assert "sk-wrong" not in str(unauthorized.value)


@both
@pytest.mark.parametrize(
    ("switch", "words"), [(switches.TRUNCATED, "cut off"), (switches.REFUSAL, "refused")]
)
async def test_half_an_answer_and_none_are_paid_for(
    model_server: ModelServer, name: str, switch: Switch, words: str
) -> None:
    """An answer that was cut off or refused is not asked for again, and its tokens are counted."""
    model_server.answer = SAID
    model_server.will(switch)
    with pytest.raises(EngineAnswerError, match=words) as caught:
        await ask(model_server, name)

    (question,) = model_server.questions
    assert question.tokens == caught.value.input_tokens
    assert caught.value.output_tokens > 0


async def test_no_room_for_an_answer_is_a_prompt_too_long(model_server: ModelServer) -> None:
    """Anthropic says so after the fact, by the reason why the model stopped."""
    model_server.will(switches.NO_ROOM)
    with pytest.raises(EngineContextError, match="no room") as caught:
        await ask(model_server, BOTH["anthropic"])

    assert caught.value.input_tokens > 0


@both
@pytest.mark.parametrize(
    "switch", [switches.INVALID_JSON, switches.WRONG_SCHEMA, switches.NOTHING], ids=str
)
async def test_an_unreadable_answer_gets_one_repair(
    model_server: ModelServer, name: str, switch: Switch
) -> None:
    """The model is shown its answer and what is wrong with it; both rounds are counted."""
    model_server.answer = SAID
    model_server.will(switch)
    reply = await ask(model_server, name)

    first, second = model_server.questions
    assert CLAIM == reply.answer
    assert first.tokens + second.tokens == reply.input_tokens
    assert ["user", "assistant", "user"] == [role for role, _ in second.turns]
    assert EVIDENCE == second.turns[0][1]
    assert "cannot be read: " in second.user


async def test_the_repair_tells_what_is_wrong(model_server: ModelServer) -> None:
    """The reader's own words go back, on one line and not without end."""
    model_server.answer = SAID

    def never(_: str) -> Claim:
        raise ValueError("owner:\nnot one of " + "x" * 10_000)

    provider = make(model_server, BOTH["openai"])
    with pytest.raises(EngineAnswerError):
        await provider.ask(PROMPT, never)
    await provider.close()

    _, second = model_server.questions
    assert "cannot be read: owner: not one of xxx" in second.user
    assert len(second.user) < 1000


@both
async def test_a_second_unreadable_answer_is_the_last(model_server: ModelServer, name: str) -> None:
    """There is no third round; what both cost is told."""
    model_server.answer = SAID
    model_server.will(switches.WRONG_SCHEMA, switches.INVALID_JSON)
    with pytest.raises(EngineAnswerError, match="cannot be read") as caught:
        await ask(model_server, name)

    first, second = model_server.questions
    assert first.tokens + second.tokens == caught.value.input_tokens
    assert caught.value.output_tokens > 0


@both
async def test_what_was_paid_before_a_failure_is_told(model_server: ModelServer, name: str) -> None:
    """A repair that fails for another reason is told as that, with what the first round cost."""
    model_server.will(switches.WRONG_SCHEMA, rate_limited(2))
    with pytest.raises(EngineRateLimitedError) as caught:
        await ask(model_server, name)

    first, _ = model_server.questions
    assert (first.tokens, 2.0) == (caught.value.input_tokens, caught.value.retry_after_s)


@both
@pytest.mark.parametrize("switch", [switches.FENCED, switches.IN_PROSE], ids=str)
async def test_what_weak_models_put_round_json_needs_no_repair(
    model_server: ModelServer, name: str, switch: Switch
) -> None:
    """A fence, or prose round the only object, is taken away."""
    model_server.answer = SAID
    model_server.will(switch)
    reply = await ask(model_server, name)

    assert (CLAIM, 1) == (reply.answer, len(model_server.requests))


@both
@pytest.mark.parametrize(
    "script",
    [(switches.HANG,), (drip(0.01),), (switches.WRONG_SCHEMA, switches.HANG)],
    ids=["silence", "drip", "repair"],
)
async def test_the_whole_of_an_ask_is_bounded_in_time(
    model_server: ModelServer, name: str, script: tuple[Switch, ...]
) -> None:
    """Neither silence, nor bytes that come one by one, nor a repair keep anyone longer."""
    model_server.will(*script)
    started = time.monotonic()
    with pytest.raises(EngineTimeoutError, match=f"within {SHORT_S} s"):
        await ask(model_server, name, timeout_s=SHORT_S)

    assert time.monotonic() - started < SHORT_S + PATIENCE_S
    assert len(script) == len(model_server.requests)


@both
async def test_cancellation_passes_through(model_server: ModelServer, name: str) -> None:
    """Whoever gives up waiting is heard, and the provider can be asked again."""
    model_server.answer = SAID
    model_server.will(switches.HANG)
    provider = make(model_server, name)
    task = asyncio.create_task(provider.ask(PROMPT, read))
    while not model_server.requests:  # noqa: ASYNC110 (the server is in a thread)
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert CLAIM == (await provider.ask(PROMPT, read)).answer
    await provider.close()


@both
async def test_nobody_there_is_told_so(name: str) -> None:
    """A refused connection, and a server that speaks no TLS, are told with the system's reason."""
    with ModelServer() as server:
        refused = make_provider(name, Access(KEY, f"http://127.0.0.1:{free_port()}"))
        plain = make_provider(name, Access(KEY, f"https://127.0.0.1:{server.port}"))
        with pytest.raises(EngineUnreachableError, match=r"no connection.*: .+"):
            await refused.ask(PROMPT, read)
        with pytest.raises(EngineUnreachableError, match="SSL"):
            await plain.ask(PROMPT, read)
        await refused.close()
        await plain.close()


@both
async def test_an_endless_answer_stays_out_of_memory(model_server: ModelServer, name: str) -> None:
    """50 MB are offered, and what is held of them is about the limit."""
    model_server.answer = SAID
    await ask(model_server, name)  # what the SDKs load by the way
    model_server.will(switches.HUGE)
    tracemalloc.start()
    with pytest.raises(EngineAnswerError):
        await ask(model_server, name)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 2 * MAX_ANSWER_BYTES


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@both
@pytest.mark.parametrize("closes", [True, False])
def test_a_provider_outlives_an_event_loop(
    model_server: ModelServer, name: str, closes: bool
) -> None:
    """asyncio.run may be used again and again, whether connections were given up or not."""
    model_server.answer = SAID

    async def once(provider: Provider) -> Claim:
        reply = await provider.ask(PROMPT, read)
        if closes:
            await provider.close()
            await provider.close()
        return reply.answer

    def thrice(provider: Provider) -> list[Claim]:
        return [asyncio.run(once(provider)) for _ in range(3)]

    assert [CLAIM] * 3 == thrice(make(model_server, name))
    gc.collect()  # Python warns of what is left open here, where it is expected


async def test_many_may_ask_at_once(model_server: ModelServer) -> None:
    """Answers do not get mixed up."""
    model_server.answer = lambda question: {"owner": "test", "note": question.user}
    provider = make(model_server, BOTH["anthropic"])
    prompts = [Prompt(SYSTEM, f"evidence {number}", SCHEMA) for number in range(20)]
    replies = await asyncio.gather(*(provider.ask(prompt, read) for prompt in prompts))
    await provider.close()

    assert [prompt.user for prompt in prompts] == [reply.answer.note for reply in replies]


@both
async def test_nothing_of_it_is_logged(
    model_server: ModelServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither key nor prompt reaches a log, however talkative that is."""
    caplog.set_level(logging.DEBUG)
    model_server.will(ANSWER, switches.SERVER_ERROR)
    model_server.answer = SAID
    provider = make(model_server, name)
    await provider.ask(PROMPT, read)
    with pytest.raises(TransientEngineError):
        await provider.ask(PROMPT, read)
    await provider.close()

    assert [] == [secret for secret in (KEY, "4711", SYSTEM) if secret in caplog.text]
    assert KEY not in repr(vars(provider))


async def test_variables_of_one_provider_reach_no_other(
    model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the SDK reads of OpenAI's environment is not sent to others, and no key but the given."""
    for variable in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{variable}", "not-your-business")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
    model_server.key = None
    model_server.answer = SAID
    provider = make(model_server, ALL["compatible"], key="")
    await provider.ask(PROMPT, read)
    await provider.close()

    (request,) = model_server.requests
    assert "not-your-business" not in str(request.headers)
    assert "Bearer none" == request.headers["authorization"]


@both
async def test_a_models_name_stays_in_the_body(model_server: ModelServer, name: str) -> None:
    """A hostile name changes neither the address nor a header."""
    hostile = "../../admin?x=1#%0d%0aX-Evil:1"
    model_server.answer = SAID
    await ask(model_server, name)
    await ask(model_server, f"{name.partition(':')[0]}:{hostile}")

    honest, other = model_server.requests
    assert honest.path == other.path
    assert set(honest.headers) == set(other.headers)
    assert hostile == other.body["model"]
