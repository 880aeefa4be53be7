"""What asking a model costs above the bare SDK: seconds of ours a call, on a server of this machine.

`uv run python benchmarks/bench_providers.py [CALLS] [ROUNDS]` prints a Markdown table. The server of
the tests runs in a process of its own and answers at once. Bare SDK, our provider and an agent of
the library ask the same, in turn, one call after the other on one connection; each round gives a
mean, and the medians of the rounds are told. The agent is what we could have used instead.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.settings import ModelSettings

from heisenberg.diagnosis.provider import Access, Prompt
from heisenberg.diagnosis.providers import anthropic as ours_anthropic
from heisenberg.diagnosis.providers import openai as ours_openai
from heisenberg.diagnosis.providers.registry import make_provider
from heisenberg.diagnosis.providers.transport import BoundedClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SERVER = Path(__file__).parent.parent / "tests" / "model_server.py"
TIMEOUT_S = 10.0
MODELS = {"anthropic": "claude-opus-5-5", "openai": "gpt-5.4"}


class Claim(BaseModel):
    """About as much as a diagnosis has."""

    owner: Literal["product", "test", "environment", "external"]
    root_cause: str
    confidence: float
    evidence: list[str]


SCHEMA = Claim.model_json_schema()
ANSWER = Claim(
    owner="product", root_cause="The pool was used up. " * 10, confidence=0.9, evidence=["e1"] * 10
)
PROMPT = Prompt("Say what broke. " * 100, "10:00:00 ERROR pool exhausted\n" * 400, SCHEMA)


async def bare_anthropic(client: AsyncAnthropic) -> object:
    """The SDK alone, the answer read."""
    message = await client.beta.messages.create(
        model=MODELS["anthropic"],
        max_tokens=PROMPT.max_output_tokens,
        system=PROMPT.system,
        messages=[{"role": "user", "content": PROMPT.user}],
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
    )
    return json.loads(getattr(message.content[0], "text", ""))


async def bare_openai(client: AsyncOpenAI) -> object:
    """Likewise."""
    completion = await client.chat.completions.create(
        model=MODELS["openai"],
        max_completion_tokens=PROMPT.max_output_tokens,
        messages=[
            {"role": "system", "content": PROMPT.system},
            {"role": "user", "content": PROMPT.user},
        ],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
    )
    return json.loads(completion.choices[0].message.content or "")


async def measure(calls: int, rounds: int, urls: dict[str, str]) -> None:
    """Ask in turn and print the medians."""
    print("| SDK | asked by | ms a call | above the SDK |")
    print("|---|---|---:|---:|")
    for provider, opener in (("anthropic", ours_anthropic), ("openai", ours_openai)):
        access = Access("key", urls[provider], TIMEOUT_S)
        name = f"{provider}:{MODELS[provider]}"
        mine = make_provider(name, access)
        model = opener.open_model(MODELS[provider], access, BoundedClient(TIMEOUT_S))
        agent = Agent(
            model,
            instructions=PROMPT.system,
            output_type=NativeOutput(Claim),
            model_settings=ModelSettings(max_tokens=PROMPT.max_output_tokens),
        )
        sdk: Any = (AsyncAnthropic if provider == "anthropic" else AsyncOpenAI)(
            api_key="key", base_url=urls[provider], max_retries=0
        )
        bare: Any = bare_anthropic if provider == "anthropic" else bare_openai
        asked: dict[str, Callable[[], Awaitable[object]]] = {
            "bare SDK": partial(bare, sdk),
            "ours": partial(mine.ask, PROMPT, json.loads),
            "agent": partial(agent.run, PROMPT.user),
        }
        times: dict[str, list[float]] = {who: [] for who in asked}
        for _ in range(rounds + 1):
            for who, ask in asked.items():
                times[who].append(await seconds(ask, calls))
        medians = {who: statistics.median(all_[1:]) * 1000 for who, all_ in times.items()}
        for who, ms in medians.items():
            print(f"| {provider} | {who} | {ms:.2f} | {ms - medians['bare SDK']:+.2f} |")
        await mine.close()


async def seconds(ask: Callable[[], Awaitable[object]], calls: int) -> float:
    """Mean of one call."""
    started = time.perf_counter()
    for _ in range(calls):
        await ask()
    return (time.perf_counter() - started) / calls


def main() -> None:
    """Measure what the command line says."""
    calls, rounds = (*map(int, sys.argv[1:]), *(100, 7)[len(sys.argv) - 1 :])
    with tempfile.NamedTemporaryFile("w", suffix=".json") as answer:
        answer.write(ANSWER.model_dump_json())
        answer.flush()
        with subprocess.Popen(
            [sys.executable, SERVER, "--answer", answer.name], stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout  # noqa: S101 (it is a pipe)
            urls = [server.stdout.readline().strip().partition("=")[2] for _ in MODELS]
            try:
                asyncio.run(measure(calls, rounds, dict(zip(MODELS, urls, strict=True))))
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
