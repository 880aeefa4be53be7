"""What a trouble that the logs name means: whose it is, how sure, in which words.

An ordered table. The readings of a special case (a pool that runs dry, a clock that makes tokens
expire) stand before the general reading of the same trouble.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heisenberg.model.diagnosis import Mechanism, Owner

if TYPE_CHECKING:
    from collections.abc import Callable

    from heisenberg.diagnosis.context import Context

_POOL = re.compile(r"pool|couldn'?t get a connection", re.IGNORECASE)
EXPIRY = re.compile(
    r"expire|not yet valid|before issued|in the future|skew|stale token", re.IGNORECASE
)
_SCHEMA = re.compile(
    r"does not exist|no such (?:table|column)|undefined ?(?:table|column)|unknown column|migration",
    re.IGNORECASE,
)
_GENERATED = re.compile(r"_pkey\b|for key '(?:\w+\.)?PRIMARY'|pk_\w+|PRIMARY KEY", re.IGNORECASE)
"""The key of a row itself, which no test chooses."""
LEAK = re.compile(
    r"too many open files|EMFILE|heap out of memory|java\.lang\.OutOfMemory|Java heap|GC overhead"
    r"|new thread|native thread",
    re.IGNORECASE,
)
"""What a process uses up by itself, where disk and memory of the machine are everybody's."""


def _always(_context: Context, _said: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Reading:
    """One meaning of one kind of trouble."""

    trouble: Mechanism
    """As the logs name it."""
    owner: Owner
    factor: float
    """Of the suspect's score: how sure the reading is."""
    sentence: str
    """Root cause, with {service}, {component}, {dependency}, {address} and {error}."""
    fix: str
    """The same, and {place}."""
    mechanism: Mechanism | None = None
    """What it is at bottom, when that is not the trouble itself."""
    is_remote: bool = False
    """The component is what the service complains of, and another party's when it is outside."""
    applies: Callable[[Context, str], bool] = _always
    """Whether this case is meant, from the context and what the root says."""


def reading_of(context: Context) -> Reading | None:
    """The first reading of the cause's trouble that applies."""
    cause = context.cause
    if cause is None:
        return None
    said = "\n".join((cause.root.message, cause.error, *cause.telling))
    return next(
        (r for r in READINGS if r.trouble is cause.trouble and r.applies(context, said)), None
    )


def _is_misdirected(context: Context) -> bool:
    """The dependency runs, and listens at another port than the one that was tried."""
    cause, known = context.cause, context.ports
    if cause is None:
        return False
    port = cause.address.rpartition(":")[2]
    return bool(port) and port not in known and cause.dependency in known.values()


def _is_schema_changed(context: Context) -> bool:
    return context.cause is not None and bool(context.cause.held_by)


READINGS: tuple[Reading, ...] = (
    Reading(
        Mechanism.AUTH,
        Owner.ENVIRONMENT,
        1.2,
        "The clock of {service} is off, so that to it things expire at the wrong time: {error}.",
        "Synchronise the clock of {service} with the others.",
        mechanism=Mechanism.CLOCK,
        applies=lambda context, said: bool(context.offsets and EXPIRY.search(said)),
    ),
    Reading(
        Mechanism.DATABASE_CONNECTION,
        Owner.PRODUCT,
        0.9,
        "{service} runs out of database connections: {error}.",
        "Return every connection to the pool on all paths{place}, and size the pool for the load.",
        applies=lambda _, said: bool(_POOL.search(said)),
    ),
    Reading(
        Mechanism.DATABASE_CONNECTION,
        Owner.ENVIRONMENT,
        0.9,
        "{service} loses its connection to the database: {error}.",
        "Check the database and the number of connections that it allows, and what else uses them.",
        is_remote=True,
    ),
    Reading(
        Mechanism.CONFIGURATION,
        Owner.ENVIRONMENT,
        0.85,
        "{service} does not find the schema that it needs: {error}.",
        "Apply the migrations that the code needs before the tests start, or roll the code back.",
        applies=lambda _, said: bool(_SCHEMA.search(said)),
    ),
    Reading(
        Mechanism.DEPENDENCY_DOWN,
        Owner.ENVIRONMENT,
        0.9,
        "{service} looks for {dependency} at {address}, where it does not listen: {error}.",
        "Correct the address of {dependency} in the settings of {service}.",
        mechanism=Mechanism.CONFIGURATION,
        applies=lambda context, _: _is_misdirected(context),
    ),
    Reading(
        Mechanism.DATABASE_LOCK,
        Owner.ENVIRONMENT,
        0.9,
        "A change of the schema holds the lock that {service} waits for: {error}.",
        "Keep migrations and maintenance out of the time of the run, or give them a short lock time-out.",
        is_remote=True,
        applies=lambda context, _: _is_schema_changed(context),
    ),
    Reading(
        Mechanism.SHARED_STATE,
        Owner.PRODUCT,
        0.85,
        "{service} makes up the same key twice: {error}.",
        "Draw keys from a space that is large enough, or let the database number them{place}.",
        mechanism=Mechanism.RANDOMNESS,
        applies=lambda _, said: bool(_GENERATED.search(said)),
    ),
    Reading(
        Mechanism.RESOURCE_EXHAUSTION,
        Owner.PRODUCT,
        0.88,
        "{service} uses up a resource of its own: {error}.",
        "Find what {service} keeps open or in memory{place}, and release it on all paths.",
        applies=lambda _, said: bool(LEAK.search(said)),
    ),
    Reading(
        Mechanism.DATABASE_LOCK,
        Owner.PRODUCT,
        0.9,
        "Transactions of {service} wait for each other's locks: {error}.",
        "Take locks in one order and keep transactions short{place}; retry on deadlock.",
    ),
    Reading(
        Mechanism.RESOURCE_EXHAUSTION,
        Owner.ENVIRONMENT,
        0.88,
        "{service} ran out of a resource: {error}.",
        "Give the job the disk, memory or handles that it needs, and look for what uses them up.",
    ),
    Reading(
        Mechanism.RATE_LIMIT,
        Owner.ENVIRONMENT,
        0.85,
        "{component} turned requests away for coming too fast: {error}.",
        "Raise the limit for the test environment, or slow down and honour Retry-After.",
        is_remote=True,
    ),
    Reading(
        Mechanism.TLS,
        Owner.ENVIRONMENT,
        0.9,
        "{service} cannot agree on TLS with {component}: {error}.",
        "Renew or trust the certificate of {component}.",
        is_remote=True,
    ),
    Reading(
        Mechanism.DNS,
        Owner.ENVIRONMENT,
        0.9,
        "{service} cannot resolve the name of {component}: {error}.",
        "Check the name in the settings of {service} and the resolver of the test environment.",
        is_remote=True,
    ),
    Reading(
        Mechanism.CLOCK,
        Owner.ENVIRONMENT,
        0.85,
        "The clocks disagree: {error}.",
        "Synchronise the clocks of the machines, and allow some leeway where times are compared.",
    ),
    Reading(
        Mechanism.AUTH,
        Owner.ENVIRONMENT,
        0.7,
        "{service} is refused or refuses credentials: {error}.",
        "Check the credentials that the test environment gives to {service} and when they expire.",
        is_remote=True,
    ),
    Reading(
        Mechanism.CONFIGURATION,
        Owner.ENVIRONMENT,
        0.85,
        "{service} is not set up as it needs: {error}.",
        "Supply the missing setting, file or schema to {service} in the test environment.",
    ),
    Reading(
        Mechanism.PROCESS_CRASH,
        Owner.ENVIRONMENT,
        0.8,
        "A process of {service} died: {error}.",
        "Find out what ended the process (memory, signal, fault) and keep it from happening again.",
    ),
    Reading(
        Mechanism.SHARED_STATE,
        Owner.TEST,
        0.85,
        "Two tests use the same data, and the second finds it taken: {error}.",
        "Give each test its own data (a unique name per run and worker), or clean it up before.",
    ),
    Reading(
        Mechanism.DEPENDENCY_DOWN,
        Owner.ENVIRONMENT,
        0.9,
        "{service} cannot reach {component}: {error}.",
        "Start {component} before the tests and wait until it answers; check its address in the settings of {service}.",
        is_remote=True,
    ),
    Reading(
        Mechanism.BACKEND_ERROR,
        Owner.PRODUCT,
        0.9,
        "{component} answers {service} with an error: {error}.",
        "Look into {component} at that moment: its own log has, or should have, the reason.",
        is_remote=True,
    ),
    Reading(
        Mechanism.TIMEOUT_BUDGET,
        Owner.PRODUCT,
        0.8,
        "{component} takes longer to answer than {service} waits: {error}.",
        "Find out what makes {component} slow, or give the call a budget that fits it.",
        is_remote=True,
    ),
    Reading(
        Mechanism.NETWORK,
        Owner.ENVIRONMENT,
        0.8,
        "The connection from {service} to {component} broke: {error}.",
        "Check the network between {service} and {component}; retry what is safe to repeat.",
        is_remote=True,
    ),
)
"""The first that applies counts."""
