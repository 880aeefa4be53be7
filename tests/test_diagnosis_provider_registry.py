from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import util
from pathlib import Path

import pytest

from heisenberg.diagnosis.provider import Access
from heisenberg.diagnosis.providers.registry import NEEDED, VENDORS, make_provider, split_name
from heisenberg.errors import EngineAuthenticationError, UsageError

KEY = "sk-test"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "claude-opus-5-5",
        "anthropic",
        "anthropic:",
        "antropic:claude-opus-5-5",
        "Anthropic:claude-opus-5-5",
        ":gpt-5.4",
        "openai:gpt 5",
        "openai:gpt-5\r\nX-Evil: 1",
        "openai:gpt\x1b[31m",
        "openai:" + "x" * 201,
        "x" * 5000,
    ],
)
def test_a_bad_name_is_one_clear_line(name: str) -> None:
    """It says what is wrong, and what would be right."""
    with pytest.raises(UsageError) as caught:
        make_provider(name, Access(KEY, "http://127.0.0.1:1"))

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250
    assert ("anthropic, openai, gemini, ollama, compatible" in str(caught.value)) != (
        "behind the colon" in str(caught.value)
    )


def test_a_models_name_may_hold_colons() -> None:
    """Only the first one counts."""
    assert ("ollama", "qwen3:8b") == split_name("ollama:qwen3:8b")


@pytest.mark.parametrize("provider", [name for name, vendor in VENDORS.items() if vendor.needs_key])
@pytest.mark.parametrize("key", ["", " \n", "two words", "ключ", "a\nb"])
def test_a_missing_or_broken_key_names_its_variable(provider: str, key: str) -> None:
    """The key itself is not repeated."""
    with pytest.raises(EngineAuthenticationError) as caught:
        make_provider(f"{provider}:model", Access(key))

    assert VENDORS[provider].key_variables[0] in str(caught.value)
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://localhost",
        "http://",
        "http://[::1",
        "http://host:port/v1",
        "http://me:secret@host/v1",
        "http://host/v1?key=secret",
        "http://host/v1#x",
        "http://host/v1\r\nX-Evil: 1",
    ],
)
def test_a_bad_base_url_names_its_variable(url: str) -> None:
    """What it holds is not repeated, since it may hold a password."""
    with pytest.raises(UsageError, match="HEISENBERG_COMPATIBLE_BASE_URL") as caught:
        make_provider("compatible:model", Access(KEY, url))

    assert "secret" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SDKs the error says what to install."""
    monkeypatch.setattr(
        "heisenberg.diagnosis.providers.registry.find_spec",
        lambda name: None if name == "openai" else util.find_spec(name),
    )
    with pytest.raises(UsageError, match=r"no openai.*pip install 'heisenberg\[llm\]'"):
        make_provider("anthropic:claude-opus-5-5", Access(KEY))


def test_every_provider_can_be_made() -> None:
    """The registry names modules that are there, and addresses that are accepted."""
    for name, vendor in VENDORS.items():
        access = Access(KEY, vendor.base_url or "http://localhost:8000/v1")

        assert f"{name}:model" == make_provider(f"{name}:model", access).name


def test_naming_a_model_loads_no_sdk() -> None:
    """The registry is read by the command line at every start, the SDKs when a model is made."""
    probe = (
        "import sys; from heisenberg.diagnosis.providers import registry;"
        "registry.split_name('openai:gpt-5.4');"
        "print([m for m in (*registry.NEEDED, 'httpx2', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )

    assert "[]\n" == done.stdout


def test_the_extra_brings_what_is_needed() -> None:
    """Whoever installs it alone can ask: the libraries, and what tries again."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    extra = " ".join(project["project"]["optional-dependencies"]["llm"])

    assert all(name.replace("_", "-") in extra for name in NEEDED)
