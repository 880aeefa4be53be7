"""Settings of the service: `HEISENBERG_…` variables or a `.env` file, checked when it starts.

The only module that reads the environment.
"""

from __future__ import annotations

import ipaddress
import os
import re
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from dotenv import dotenv_values
from pydantic import (
    AliasChoices,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from heisenberg.diagnosis.providers.registry import VENDORS
from heisenberg.errors import UsageError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PREFIX = "HEISENBERG_"
"""Of every variable; some are read under a name that others use, too."""
MIN_SECRET_CHARS = 32
"""Of the secret key: 128 bits when it is hexadecimal."""

POSTGRES_OPTIONS = frozenset(
    {
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "target_session_attrs",
    }
)
"""Of libpq, what a PostgreSQL URL may have behind its question mark."""
STORE_TLS_OPTIONS = frozenset(
    {
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_keyfile",
        "ssl_password",
    }
)
"""Of redis-py, what a `rediss://` or `valkeys://` URL may have behind its question mark."""
DATABASE_VARIABLES = ("HEISENBERG_DATABASE_URL", "DATABASE_URL")
"""The first one that is set."""
OTLP_VARIABLES = ("HEISENBERG_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Likewise."""
KEY_VARIABLES = {f"{name}_api_key": vendor.key_variables for name, vendor in VENDORS.items()}
"""Likewise, by setting; the providers' own programs read some of them."""
URL_VARIABLES = {f"{name}_base_url": vendor.base_url_variables for name, vendor in VENDORS.items()}
"""Likewise."""
SECRET_VARIABLES = frozenset({*DATABASE_VARIABLES, *chain(*KEY_VARIABLES.values())})
"""Those among them that hold secrets."""
MAX_MODEL_CHARS = 200
"""Of `PROVIDER:MODEL`, as the database has it."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(UsageError):
    """A setting is missing or wrong; the message names its variable."""


class LogFormat(StrEnum):
    """How a log line is written."""

    JSON = "json"
    CONSOLE = "console"


def _default_data_dir() -> Path:
    """Where programs of this user keep their data."""
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "heisenberg"


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="Folder of the embedded database and of the generated secret key.",
    )
    database_url: Annotated[
        SecretStr | None,
        Field(
            validation_alias=AliasChoices(*DATABASE_VARIABLES),
            description="PostgreSQL or SQLite; unset, `heisenberg.db` in the data folder.",
        ),
    ] = None
    database_pool_size: Annotated[
        int, Field(ge=1, le=1000, description="Connections that a process keeps open.")
    ] = 10
    database_max_overflow: Annotated[
        int, Field(ge=0, le=1000, description="Connections beyond these under load.")
    ] = 10
    database_pool_timeout_s: Annotated[
        float, Field(gt=0, le=600, description="Wait for a free connection before 503.")
    ] = 5.0
    database_connect_timeout_s: Annotated[
        float, Field(gt=0, le=600, description="Wait for a new connection before 503.")
    ] = 5.0
    database_statement_timeout_s: Annotated[
        float, Field(gt=0, le=3600, description="Longest that one statement may run.")
    ] = 30.0
    secret_key: Annotated[
        SecretStr | None,
        Field(
            description="Keys the hashes of API keys: at least 32 characters, the same in every "
            "process. Unset, one is generated and kept in the data folder."
        ),
    ] = None
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        Field(description="Least severe level that is written."),
    ] = "INFO"
    log_format: Annotated[
        LogFormat, Field(description="`json`, one object a line, or `console`, for people.")
    ] = LogFormat.JSON
    retry_max_retries: Annotated[
        int, Field(ge=0, le=20, description="Tries after the first one.")
    ] = 3
    retry_base_delay: Annotated[
        float,
        Field(ge=0, le=3600, description="Seconds before the first retry; doubles each time."),
    ] = 1.0
    retry_max_delay: Annotated[
        float, Field(ge=0, le=3600, description="Longest that these seconds become.")
    ] = 60.0
    retry_deadline_s: Annotated[
        float, Field(gt=0, le=86400, description="All tries and waits together.")
    ] = 120.0
    rate_limit_per_minute: Annotated[
        int, Field(ge=1, le=1_000_000, description="Requests in any 60 s, of one key or address.")
    ] = 60
    rate_limit_burst: Annotated[
        int, Field(ge=1, le=1_000_000, description="Requests in any one second, likewise.")
    ] = 10
    rate_limit_failed_auth_per_minute: Annotated[
        int,
        Field(
            ge=1, le=1_000_000, description="Failed authentications in any 60 s, of one address."
        ),
    ] = 10
    rate_limit_storage: Annotated[
        SecretStr,
        Field(description="`memory://`, or a Valkey or Redis URL that all processes share."),
    ] = SecretStr("memory://")
    trusted_proxies: Annotated[
        tuple[Network, ...],
        NoDecode,
        Field(description="Addresses or networks, by commas, whose `X-Forwarded-For` is believed."),
    ] = ()
    found_organizations: Annotated[
        bool, Field(description="Whether any organization's admin may found others over HTTP.")
    ] = True
    max_body_bytes: Annotated[
        int, Field(ge=1024, le=1 << 30, description="Largest request body.")
    ] = 20 << 20
    body_timeout_s: Annotated[
        float, Field(gt=0, le=3600, description="Longest that a body may take to arrive.")
    ] = 30.0
    analysis_workers: Annotated[
        int, Field(ge=1, le=256, description="Processes that analyse side by side.")
    ] = min(4, os.cpu_count() or 1)
    analysis_timeout_s: Annotated[
        float, Field(gt=0, le=3600, description="Longest that one analysis may take.")
    ] = 60.0
    analysis_memory_bytes: Annotated[
        int, Field(ge=512 << 20, le=1 << 40, description="Address space of one such process.")
    ] = 2 << 30
    health_slow_ms: Annotated[
        float, Field(gt=0, le=1000, description="Database latency from which health is degraded.")
    ] = 250.0
    migrate_at_start: Annotated[
        bool, Field(description="Whether `serve` upgrades the database's tables before it serves.")
    ] = True
    database_wait_s: Annotated[
        float, Field(ge=0, le=3600, description="Wait at start for a database that is away.")
    ] = 30.0
    model: Annotated[
        tuple[str, ...],
        NoDecode,
        Field(
            description="Models that diagnose, `PROVIDER:MODEL`, by commas: the next one is asked "
            "when one cannot be. Unset, the service works offline."
        ),
    ] = ()
    model_url: Annotated[
        str | None,
        Field(description="Base URL of the first model, in place of its provider's."),
    ] = None
    anthropic_api_key: Annotated[
        SecretStr | None,
        Field(
            validation_alias=AliasChoices(*KEY_VARIABLES["anthropic_api_key"]),
            description="Key for `anthropic:` models.",
        ),
    ] = None
    openai_api_key: Annotated[
        SecretStr | None,
        Field(
            validation_alias=AliasChoices(*KEY_VARIABLES["openai_api_key"]),
            description="Key for `openai:` models.",
        ),
    ] = None
    gemini_api_key: Annotated[
        SecretStr | None,
        Field(
            validation_alias=AliasChoices(*KEY_VARIABLES["gemini_api_key"]),
            description="Key for `gemini:` models.",
        ),
    ] = None
    ollama_api_key: Annotated[
        SecretStr | None,
        Field(
            validation_alias=AliasChoices(*KEY_VARIABLES["ollama_api_key"]),
            description="Key for `ollama:` models, if their server asks for one.",
        ),
    ] = None
    compatible_api_key: Annotated[
        SecretStr | None,
        Field(
            validation_alias=AliasChoices(*KEY_VARIABLES["compatible_api_key"]),
            description="Key for `compatible:` models, if their server asks for one.",
        ),
    ] = None
    anthropic_base_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices(*URL_VARIABLES["anthropic_base_url"]),
            description="Where `anthropic:` models are asked. Unset, at the provider's own.",
        ),
    ] = None
    openai_base_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices(*URL_VARIABLES["openai_base_url"]),
            description="Likewise, `openai:` models.",
        ),
    ] = None
    gemini_base_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices(*URL_VARIABLES["gemini_base_url"]),
            description="Likewise, `gemini:` models.",
        ),
    ] = None
    ollama_base_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices(*URL_VARIABLES["ollama_base_url"]),
            description="Likewise, `ollama:` models. Unset, `http://localhost:11434/v1`.",
        ),
    ] = None
    compatible_base_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices(*URL_VARIABLES["compatible_base_url"]),
            description="Likewise, `compatible:` models, which need it.",
        ),
    ] = None
    model_timeout_s: Annotated[
        float, Field(gt=0, le=3600, description="Longest that one answer of a model may take.")
    ] = 60.0
    model_deadline_s: Annotated[
        float,
        Field(
            gt=0,
            le=86_400,
            description="Longest that models may take for one run; what is left then stays offline.",
        ),
    ] = 120.0
    model_context_tokens: Annotated[
        int,
        Field(ge=500, le=200_000, description="Most that a model is sent about one incident."),
    ] = 4000
    model_output_tokens: Annotated[
        int, Field(ge=100, le=100_000, description="Most that it may answer.")
    ] = 1500
    model_concurrency: Annotated[
        int, Field(ge=1, le=1000, description="Questions to models side by side, of a process.")
    ] = 4
    model_cost_per_run_usd: Annotated[
        float,
        Field(
            ge=0,
            le=1_000_000,
            allow_inf_nan=False,
            description="Most that the models may cost for one run; beyond, it goes on offline.",
        ),
    ] = 0.5
    model_cost_per_day_usd: Annotated[
        float,
        Field(
            ge=0,
            le=1_000_000,
            allow_inf_nan=False,
            description="Likewise, for one organization and day in UTC.",
        ),
    ] = 10.0
    model_answer_ttl_hours: Annotated[
        float,
        Field(gt=0, le=87_600, description="How long an answer counts when the same is asked."),
    ] = 720.0
    model_prices: Annotated[
        FilePath | None,
        Field(description="File of prices that goes before the one that is built in."),
    ] = None
    model_circuit_failures: Annotated[
        int,
        Field(ge=1, le=1000, description="Failures in a row after which a model is left alone."),
    ] = 5
    model_circuit_open_s: Annotated[float, Field(gt=0, le=86_400, description="For how long.")] = (
        60.0
    )
    otlp_endpoint: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices(*OTLP_VARIABLES),
            description="Collector that takes traces, OTLP over HTTP, such as "
            "`http://collector:4318`; needs the extra `tracing`. Unset, there are none.",
        ),
    ] = None
    shutdown_delay_s: Annotated[
        float,
        Field(ge=0, le=3600, description="Serve on, no longer ready, before stopping to listen."),
    ] = 0.0
    shutdown_grace_s: Annotated[
        float, Field(ge=0, le=3600, description="Wait for requests in flight when told to stop.")
    ] = 30.0

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        """Accept `info` for `INFO`."""
        return value.upper() if isinstance(value, str) else value

    @field_validator("log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        """Accept `JSON` for `json`."""
        return value.lower() if isinstance(value, str) else value

    @field_validator("trusted_proxies", "model", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Accept a list by commas."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_SECRET_CHARS:
            raise ValueError(f"needs at least {MIN_SECRET_CHARS} characters")
        return value

    @field_validator("rate_limit_storage")
    @classmethod
    def _known_storage(cls, value: SecretStr) -> SecretStr:
        scheme = value.get_secret_value().partition("://")[0]
        if scheme not in {"memory", "redis", "rediss", "valkey", "valkeys"}:
            raise ValueError("is neither memory:// nor a valkey://, redis:// or rediss:// URL")
        try:
            url = urlsplit(value.get_secret_value())
            url.port  # noqa: B018 (reading it is the check)
        except ValueError:
            raise ValueError(
                "is no URL; is a `/`, `:` or `@` of the password not escaped?"
            ) from None
        if scheme != "memory" and not re.fullmatch("/?[0-9]*", url.path):
            raise ValueError("the URL's path is no number of a database, such as /0")
        # The client would take any option, and fail for it at each request.
        known = STORE_TLS_OPTIONS if scheme in {"rediss", "valkeys"} else frozenset[str]()
        if unknown := sorted(dict(parse_qsl(url.query, keep_blank_values=True)).keys() - known):
            raise ValueError(f"the URL's option {unknown[0]!r} is not supported")
        return value

    @field_validator("model")
    @classmethod
    def _named_models(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch("[a-z]+:[!-~]+", name) or len(name) > MAX_MODEL_CHARS:
                raise ValueError(
                    f"needs names like anthropic:MODEL, of {MAX_MODEL_CHARS} characters at most"
                )
        if len(set(value)) < len(value):
            raise ValueError("names a model twice")
        return value

    @field_validator("otlp_endpoint", "model_url", *URL_VARIABLES)
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("is no http:// or https:// URL")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            async_url(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.retry_base_delay > self.retry_max_delay:
            raise ValueError(f"{PREFIX}RETRY_BASE_DELAY is above {PREFIX}RETRY_MAX_DELAY")
        return self

    @property
    def database(self) -> URL:
        """Where the database is, with the driver that is used."""
        if self.database_url is not None:
            return async_url(self.database_url.get_secret_value())
        return URL.create("sqlite+aiosqlite", database=str(self.data_dir / "heisenberg.db"))


def async_url(raw: str) -> URL:
    """Turn a database URL as people write it into the one for our drivers.

    `postgres://` and `postgresql://` get asyncpg, `sqlite://` gets aiosqlite.

    Raises:
        ValueError: It is no URL, of another database, or has an option that nobody would obey.
    """
    try:
        url = make_url(raw)
    except (ArgumentError, ValueError):
        raise ValueError("is no database URL, such as postgresql://user@host/name") from None
    match url.drivername:
        case "postgres" | "postgresql" | "postgresql+asyncpg":
            unknown = sorted(set(url.query) - POSTGRES_OPTIONS)
            url = url.set(drivername="postgresql+asyncpg")
        case "sqlite" | "sqlite+aiosqlite":
            unknown = sorted(url.query)
            url = url.set(drivername="sqlite+aiosqlite")
            if url.database in {None, "", ":memory:"}:
                raise ValueError("names no file; a database in memory would be lost")
        case other:
            raise ValueError(f"{other!r} is not supported; use postgresql:// or sqlite:///")
    if unknown:
        raise ValueError(f"the URL's option {unknown[0]!r} is not supported")
    return url


def load_settings(**given: Any) -> Settings:  # noqa: ANN401 (each setting's own type)
    """Read the settings.

    Args:
        given: Settings that the caller knows better than the environment.

    Raises:
        SettingsError: One is wrong; each is named by its variable, and no value is repeated.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError("; ".join(_told(e) for e in error.errors(include_url=False))) from None
    except (OSError, UnicodeDecodeError) as error:  # nothing else is read
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise SettingsError(f"{Settings.model_config['env_file']}: {reason}") from None


def variable_of(variables: tuple[str, ...]) -> str | None:
    """Which of the variables that mean the same setting counts; None when none is set."""
    return next((v for source in _sources() for v in variables if source.get(v)), None)


def unknown_variables() -> list[str]:
    """Variables that look like settings and are none, by name."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    given = {name for source in _sources() for name in source if name.startswith(PREFIX)}
    return sorted(given - known)


def _sources() -> list[dict[str, str | None]]:
    """Where settings are read, by precedence; names in capitals, as case does not count."""
    found = (os.environ, dotenv_values(str(Settings.model_config["env_file"])))
    return [{name.upper(): value for name, value in source.items()} for source in found]


def _told(error: ErrorDetails) -> str:
    """One wrong setting in words."""
    reason = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:  # of several settings, which the reason names
        return reason
    where = str(error["loc"][0])
    name = where if where.isupper() else PREFIX + where.upper()
    for variables in (
        DATABASE_VARIABLES,
        OTLP_VARIABLES,
        *KEY_VARIABLES.values(),
        *URL_VARIABLES.values(),
    ):
        if name in variables:
            name = variable_of(variables) or name
    return f"{name}: {reason}"
