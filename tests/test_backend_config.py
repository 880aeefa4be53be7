from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from heisenberg.backend.config import SettingsError, async_url, load_settings, unknown_variables
from heisenberg.diagnosis.providers.registry import VENDORS

if TYPE_CHECKING:
    from pathlib import Path

DEFAULTS = {
    "database_url": None,
    "secret_key": None,
    "log_level": "INFO",
    "log_format": "json",
    "retry_max_retries": 3,
    "retry_base_delay": 1.0,
    "retry_max_delay": 60.0,
    "rate_limit_per_minute": 60,
    "rate_limit_burst": 10,
    "trusted_proxies": (),
    "model": (),
    "model_url": None,
    "anthropic_api_key": None,
    "model_timeout_s": 60.0,
    "model_context_tokens": 4000,
    "model_output_tokens": 1500,
    "model_concurrency": 4,
    "model_cost_per_run_usd": 0.5,
    "model_cost_per_day_usd": 10.0,
    "model_answer_ttl_hours": 720.0,
    "model_prices": None,
    "model_circuit_failures": 5,
    "model_circuit_open_s": 60.0,
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `.env` of the checkout is read."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items())
def test_defaults(name: str, value: object) -> None:
    """Unset, each setting has the documented default."""
    assert value == getattr(load_settings(), name)


def test_the_embedded_database_is_in_the_data_folder(tmp_path: Path) -> None:
    """Without a URL, the database is a file in the data folder."""
    settings = load_settings(data_dir=tmp_path)

    assert str(tmp_path / "heisenberg.db") == settings.database.database
    assert "sqlite+aiosqlite" == settings.database.drivername


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEISENBERG_LOG_LEVEL", "loud"),
        ("HEISENBERG_RETRY_MAX_RETRIES", "-1"),
        ("HEISENBERG_RATE_LIMIT_BURST", "0"),
        ("HEISENBERG_RATE_LIMIT_STORAGE", "mysql://u:hunter2@h"),
        ("HEISENBERG_RATE_LIMIT_STORAGE", "redis://h/first"),
        ("HEISENBERG_RATE_LIMIT_STORAGE", "redis://h/0?retries=hunter2"),
        ("HEISENBERG_RATE_LIMIT_STORAGE", "valkey://h?ssl_ca_certs=hunter2"),
        ("HEISENBERG_RATE_LIMIT_STORAGE", "rediss://h?max_connections=hunter2"),
        ("HEISENBERG_SECRET_KEY", "hunter2"),
        ("HEISENBERG_TRUSTED_PROXIES", "hunter2"),
        ("HEISENBERG_DATABASE_URL", "postgresql://u:hunter2@h:port/x"),
        ("DATABASE_URL", "mysql://u:hunter2@h/x"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "postgresql://h/x?channel_binding=hunter2"),
        ("HEISENBERG_MODEL", "hunter2"),
        ("HEISENBERG_MODEL", "openai:a, openai:hunter2 b"),
        ("HEISENBERG_MODEL", "openai:a,openai:a"),
        ("HEISENBERG_MODEL", "openai:" + "a" * 200),
        ("HEISENBERG_MODEL_URL", "hunter2"),
        ("HEISENBERG_MODEL_CONTEXT_TOKENS", "499"),
        ("HEISENBERG_MODEL_CONTEXT_TOKENS", "200001"),
        ("HEISENBERG_MODEL_COST_PER_DAY_USD", "nan"),
        ("HEISENBERG_MODEL_COST_PER_RUN_USD", "-1"),
        ("HEISENBERG_MODEL_PRICES", "/no/such/hunter2.toml"),
    ],
)
def test_a_bad_value_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The message begins with the variable that was set, and does not repeat a secret."""
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert str(caught.value).startswith(f"{name}: ")
    assert "hunter2" not in str(caught.value)


def test_settings_that_contradict_each_other_are_both_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A base delay above the longest one names both variables."""
    monkeypatch.setenv("HEISENBERG_RETRY_BASE_DELAY", "61")

    with pytest.raises(SettingsError, match=r"^HEISENBERG_RETRY_BASE_DELAY is above HEISENBERG_R"):
        load_settings()


def test_our_own_variable_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """HEISENBERG_DATABASE_URL is taken when DATABASE_URL is set as well."""
    monkeypatch.setenv("DATABASE_URL", "sqlite:////tmp/other.db")
    monkeypatch.setenv("HEISENBERG_DATABASE_URL", "sqlite:////tmp/ours.db")

    assert "/tmp/ours.db" == load_settings().database.database  # noqa: S108 (never opened)


def test_models_are_a_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are listed by commas, in the order in which they are asked."""
    monkeypatch.setenv("HEISENBERG_MODEL", "anthropic:one, compatible:org/two:8b,")

    assert ("anthropic:one", "compatible:org/two:8b") == load_settings().model


@pytest.mark.parametrize("provider", VENDORS)
def test_every_provider_has_its_settings(monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    """Key and address, by all the names that the command reads, the first one first."""
    vendor = VENDORS[provider]
    for names, setting in (
        (vendor.key_variables, f"{provider}_api_key"),
        (vendor.base_url_variables, f"{provider}_base_url"),
    ):
        for name in reversed(names):
            monkeypatch.setenv(name, f"http://{name}".lower())
            value = getattr(load_settings(), setting)
            told = value if isinstance(value, str) else value.get_secret_value()

            assert f"http://{name}".lower() == told
    assert [] == unknown_variables()


def test_an_address_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable that was set."""
    monkeypatch.setenv("OLLAMA_BASE_URL", "localhost:11434")

    with pytest.raises(SettingsError, match=r"^OLLAMA_BASE_URL: is no http:// or https:// URL"):
        load_settings()


@pytest.mark.parametrize("provider", ["anthropic", "openai", "gemini"])
def test_keys_of_providers(monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    """A key is read from the variable that others use, and from our own one first."""
    found = []
    for name in (f"{provider.upper()}_API_KEY", f"HEISENBERG_{provider.upper()}_API_KEY"):
        monkeypatch.setenv(name, f"hunter2-of-{name}")
        settings = load_settings()
        found.append(getattr(settings, f"{provider}_api_key").get_secret_value())

        assert "hunter2" not in repr(settings) + settings.model_dump_json()
    assert [
        f"hunter2-of-{prefix}{provider.upper()}_API_KEY" for prefix in ("", "HEISENBERG_")
    ] == found


def test_a_dotenv_file_is_read_and_named(tmp_path: Path) -> None:
    """Settings come from `.env` too, and what is wrong or unknown there is told likewise."""
    (tmp_path / ".env").write_text("HEISENBERG_RATE_LIMIT_BURST=7\nHEISENBERG_NOSUCH=1\n")
    settings = load_settings()
    unknown = unknown_variables()
    (tmp_path / ".env").write_text("DATABASE_URL=mysql://h/x\n")

    assert 7 == settings.rate_limit_burst
    assert ["HEISENBERG_NOSUCH"] == unknown
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: "):
        load_settings()


def test_a_dotenv_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """What is no text stops the start by the file's name."""
    (tmp_path / ".env").write_bytes(b"HEISENBERG_LOG_LEVEL=\xff\n")

    with pytest.raises(SettingsError, match=r"^\.env: .*UTF-8"):
        load_settings()


def test_unknown_variables_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable is found by its prefix."""
    monkeypatch.setenv("HEISENBERG_LOGLEVEL", "DEBUG")
    monkeypatch.setenv("HEISENBERG_LOG_LEVEL", "DEBUG")

    assert ["HEISENBERG_LOGLEVEL"] == unknown_variables()


def test_secrets_are_not_shown() -> None:
    """Neither repr nor the dump as text holds a secret."""
    settings = load_settings(
        database_url="postgresql://u:hunter2@h/x",
        secret_key="hunter2" * 6,
        rate_limit_storage="redis://:hunter2@h",
    )

    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_any_way_to_write_postgres(scheme: str) -> None:
    """Each usual scheme gets the driver that is used, and TLS options stay."""
    url = async_url(f"{scheme}://u:p@h:1/x?sslmode=require")

    assert "postgresql+asyncpg" == url.drivername
    assert {"sslmode": "require"} == dict(url.query)
