"""The vocabulary of a diagnosis, and the diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 (msgspec reads annotations: workers send questions)
from enum import StrEnum


class State(StrEnum):
    """Where the failure stands in history."""

    FIRST_SEEN = "first_seen"
    NEW_REGRESSION = "new_regression"
    BROKEN = "broken"
    FLAKY = "flaky"
    INFRA_BURST = "infra_burst"
    RECOVERED = "recovered"
    UNKNOWN = "unknown"


class Owner(StrEnum):
    """Who should change something."""

    PRODUCT = "product"
    TEST = "test"
    ENVIRONMENT = "environment"
    EXTERNAL = "external"
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"


class Mechanism(StrEnum):
    """How it came to fail."""

    ASYNC_WAIT = "async_wait"
    RACE = "race"
    ORDER_DEPENDENCY = "order_dependency"
    SHARED_STATE = "shared_state"
    SELECTOR_DRIFT = "selector_drift"
    WRONG_EXPECTATION = "wrong_expectation"
    LOGIC_ERROR = "logic_error"
    UNHANDLED_EXCEPTION = "unhandled_exception"
    BACKEND_ERROR = "backend_error"
    TIMEOUT_BUDGET = "timeout_budget"
    NETWORK = "network"
    DNS = "dns"
    TLS = "tls"
    AUTH = "auth"
    RATE_LIMIT = "rate_limit"
    DATABASE_CONNECTION = "database_connection"
    DATABASE_LOCK = "database_lock"
    RESOURCE_EXHAUSTION = "resource_exhaustion"
    PROCESS_CRASH = "process_crash"
    CLOCK = "clock"
    CONFIGURATION = "configuration"
    DEPENDENCY_DOWN = "dependency_down"
    RANDOMNESS = "randomness"
    UNKNOWN = "unknown"


class Symptom(StrEnum):
    """What the test saw."""

    TIMEOUT = "timeout"
    ASSERTION = "assertion"
    CRASH = "crash"
    SETUP = "setup"
    NETWORK = "network"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A place in an artefact, quoted exactly."""

    source: str
    line: int
    """1-based; a record of several lines is cited by its first."""
    quote: str
    """Occurs there exactly, once the format's escapes and terminal colours are undone."""
    timestamp: datetime | None = None
    """Aware UTC, as the artefact gives it."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another reading of the same evidence."""

    owner: Owner
    mechanism: Mechanism
    confidence: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, whose it is, and the lines that prove it."""

    state: State
    owner: Owner
    mechanism: Mechanism
    symptom: Symptom
    component: str
    root_cause: str
    """One sentence."""
    suggested_fix: str
    confidence: float
    """In [0, 1]."""
    evidence: tuple[Evidence, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    missing: tuple[str, ...] = ()
    """Which artefact would settle it."""
    engine: str = "offline/1"
    prompt: str = ""
    """Version of the prompt that a model answered; empty for the offline engine."""
    stated: float | None = None
    """What the model stated, as far as its proof allows, before it was calibrated; None offline."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
