"""`uv run --group llm-local pytest -m real_model`: whether a real model can be asked, not how well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import pytest

from heisenberg.diagnosis.provider import Access, Prompt
from heisenberg.diagnosis.providers.registry import make_provider
from heisenberg.errors import EngineAnswerError, EngineContextError
from local_model import CONTEXT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real_model

PROGRAM = Path(__file__).with_name("local_model.py")
EXAMPLE = Path(__file__).parents[1] / "examples" / "checkout"
SYSTEM = "Whose failure is it? Answer with JSON."
EVIDENCE = "12:00:00 payments ERROR connection pool exhausted"


class Claim(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked for here."""

    owner: Literal["product", "test", "environment"]
    sure: bool


SCHEMA = {**msgspec.json.schema(Claim)["$defs"]["Claim"], "additionalProperties": False}
read = msgspec.json.Decoder(Claim).decode


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Where the model is."""
    with serving() as url:
        yield url


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """Run the model's server until the block ends."""
    with subprocess.Popen(
        [sys.executable, PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def test_a_real_model_answers_in_the_schema(base_url: str) -> None:
    """135 million parameters are enough to obey a schema, if not to be right."""
    provider = make_provider("compatible:smollm2", Access(base_url=base_url))
    reply = await provider.ask(Prompt(SYSTEM, EVIDENCE, SCHEMA, 200), read)
    await provider.close()

    assert isinstance(reply.answer.sure, bool)
    assert 10 < reply.input_tokens < 200
    assert 5 < reply.output_tokens <= 200


async def test_a_prompt_too_long_is_told_as_that(base_url: str) -> None:
    """llama.cpp's own words are understood."""
    provider = make_provider("compatible:smollm2", Access(base_url=base_url))
    with pytest.raises(EngineContextError):
        await provider.ask(Prompt(SYSTEM, "word " * 2 * CONTEXT_TOKENS, SCHEMA), read)
    await provider.close()


async def test_an_answer_without_room_is_cut_off(base_url: str) -> None:
    """The limit of the prompt reaches the model."""
    provider = make_provider("compatible:smollm2", Access(base_url=base_url))
    with pytest.raises(EngineAnswerError, match="cut off at 3 tokens"):
        await provider.ask(Prompt(SYSTEM, EVIDENCE, SCHEMA, max_output_tokens=3), read)
    await provider.close()


def test_the_whole_path_with_a_real_model(tmp_path: Path) -> None:
    """Asked about a real run it is judged like any other, and the report is whole."""
    transcript = tmp_path / "transcript.jsonl"
    with serving("8192") as url:
        done = subprocess.run(
            [
                sys.executable, "-m", "heisenberg", "analyze", EXAMPLE, "--format", "json", "--no-cache",
                "--model", "compatible:smollm2", "--model-url", url, "--transcript", transcript,
            ],
            capture_output=True, text=True, check=False, timeout=600,
            env={**os.environ, "HEISENBERG_MODEL_TIMEOUT_S": "300", "HEISENBERG_MODEL_DEADLINE_S": "600",
                 "HEISENBERG_RETRY_DEADLINE_S": "600", "HEISENBERG_MODEL_OUTPUT_TOKENS": "900"},
        )  # fmt: skip

    assert (0, "") == (done.returncode, done.stderr)
    (incident,) = json.loads(done.stdout)["incidents"]
    assert incident["diagnosis"]["engine"] in {"offline/1", "compatible:smollm2"}
    assert "product" == incident["diagnosis"]["owner"]
    for line in transcript.read_text().splitlines():
        assert json.loads(line)["answer"]["owner"]
