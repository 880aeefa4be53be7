from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import jsonschema
import pytest

from model_server import KEY, NO_MODEL, ModelServer, smallest
from model_switches import ANSWER, saying

if TYPE_CHECKING:
    from model_wires import Asked

PROGRAM = Path(__file__).with_name("model_server.py")
SCHEMA = {
    "type": "object",
    "required": ["kind", "score", "items", "other", "sure", "name"],
    "properties": {
        "kind": {"enum": ["a", "b"]},
        "score": {"type": "number", "minimum": 0.5},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 2},
        "other": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "sure": {"type": "boolean"},
        "name": {"type": "string", "minLength": 3},
    },
    "$defs": {"item": {"type": "object", "required": ["id"], "properties": {"id": {"const": 7}}}},
}


def complete(url: str, key: str = KEY, **fields: object) -> httpx2.Response:
    """Ask for a completion without any SDK."""
    body = {"model": "any", "messages": [{"role": "user", "content": "whose?"}], **fields}
    headers = {"Authorization": f"Bearer {key}"}
    return httpx2.post(f"{url}/chat/completions", json=body, headers=headers)


def said(response: httpx2.Response) -> Any:
    """The JSON that the model answered with."""
    return json.loads(response.json()["choices"][0]["message"]["content"])


def test_untold_it_answers_what_the_schema_allows(model_server: ModelServer) -> None:
    """Whoever needs no answer in particular gets one that is valid."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}

    jsonschema.validate(said(complete(model_server.openai_url, response_format=form)), SCHEMA)
    jsonschema.validate(smallest(SCHEMA), SCHEMA)


def test_switches_are_used_up_in_order(model_server: ModelServer) -> None:
    """Each is for one request; after them it answers as ever."""

    def obedient(question: Asked) -> dict[str, Any]:
        return {"obeys": question.user}

    model_server.answer = {"as": "ever"}
    model_server.will(saying(obedient), ANSWER, saying("7"))

    assert [{"obeys": "whose?"}, {"as": "ever"}, 7, {"as": "ever"}] == [
        said(complete(model_server.openai_url)) for _ in range(4)
    ]


@pytest.mark.parametrize(
    ("key", "fields", "status"),
    [
        ("wrong", {}, 401),
        (KEY, {"messages": []}, 400),
        (KEY, {"model": ""}, 400),
        (KEY, {"model": NO_MODEL}, 404),
    ],
)
def test_it_checks_what_a_provider_checks(
    model_server: ModelServer, key: str, fields: dict[str, object], status: int
) -> None:
    """A request that the provider would refuse is refused in the provider's words."""
    refused = complete(model_server.openai_url, key, **fields)

    assert status == refused.status_code
    assert {"message", "type", "param", "code"} == set(refused.json()["error"])
    assert refused.headers["x-request-id"].startswith("req_")


def test_messages_need_a_version_and_a_limit(model_server: ModelServer) -> None:
    """Anthropic's format has fields of its own that must be there."""
    body = {"model": "any", "messages": [{"role": "user", "content": "whose?"}]}
    url = f"{model_server.anthropic_url}/v1/messages"

    for headers, missing in (
        ({"x-api-key": KEY, "anthropic-version": "2023-06-01"}, "max_tokens"),
        ({"x-api-key": KEY}, "max_tokens"),
    ):
        refused = httpx2.post(url, json=body, headers=headers)
        assert (400, f"{missing}: Field required") == (
            refused.status_code,
            refused.json()["error"]["message"],
        )
    refused = httpx2.post(url, json={**body, "max_tokens": 5}, headers={"x-api-key": KEY})
    assert "anthropic-version" in refused.json()["error"]["message"]


def test_it_can_be_played_with(tmp_path: Path) -> None:
    """As a program it tells where it is, and answers from a file."""
    answer = tmp_path / "answer.json"
    answer.write_text('{"from": "a file"}', encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, PROGRAM, "--answer", answer], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        told = dict(process.stdout.readline().strip().split("=", 1) for _ in range(3))
        got = said(complete(told["HEISENBERG_COMPATIBLE_BASE_URL"]))
        process.terminate()

    assert {"from": "a file"} == got
