"""Rules about failures whose own text names the trouble: network, processes, set-up, test code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from heisenberg.diagnosis.claim import Citation, Claim
from heisenberg.diagnosis.context import clip
from heisenberg.hosts import external_host, host_of, is_database, is_external
from heisenberg.model.diagnosis import Mechanism, Owner, Symptom

if TYPE_CHECKING:
    from heisenberg.diagnosis.context import Context

_CODE_ERRORS = re.compile(
    r"(?:^|\.)(?:TypeError|ReferenceError|NameError|AttributeError|SyntaxError|KeyError|IndexError|UnboundLocalError|"
    r"ValueError|NullPointerException|NoMethodError|ArgumentError|IndentationError)$"
)
_TEST_PATH = re.compile(
    r"(?:^|/)(?:tests?|specs?|e2e|__tests__|cypress|features)/|(?:^|/)(?:test_|conftest)"
    r"|[._-](?:tests?|spec|cy)\.\w+$|Tests?\.\w+$|_test\.\w+$|\.tests?\."
    r"|support|fixture|page[-_]?object|helper",
    re.IGNORECASE,
)
_MISSING_TOOL = re.compile(
    r"Executable doesn'?t exist|browserType\.launch|playwright install|cannot find (?:chrome|browser)",
    re.IGNORECASE,
)
_FIXTURE = re.compile(
    r"fixture '[^']+' not found|beforeAll|beforeEach|before all|setUp|hook", re.IGNORECASE
)


def unreachable(context: Context) -> Claim | None:
    """The test could not reach the product, or what it talks to, at all."""
    f = context.fact
    if not f.network_error:
        return None
    mechanism = f.trouble if f.trouble in _REMOTE else Mechanism.NETWORK
    host = host_of(f.url)
    if (
        mechanism is Mechanism.DEPENDENCY_DOWN
        and context.run_passed
        and context.has_logs
        and not is_external(host)
    ):
        # It answered other tests of this run, so it was there and went away.
        mechanism = Mechanism.PROCESS_CRASH
    outside = is_external(host) if host else False
    if mechanism is Mechanism.TIMEOUT_BUDGET and not outside:
        return Claim(
            Owner.PRODUCT,
            mechanism,
            0.6,
            context.answering[0] if context.answering else host or "product",
            f"{host or 'The service'} did not answer in the time that the test gives it ({f.headline.rstrip('.')}).",
            "Find out what makes the request slow, or give it a budget that fits it.",
            context.cite_failure(f.network_error, f.headline, f.code),
            missing=() if context.has_logs else (f"the log of the service behind {host}",),
        )
    what = host or "the host"
    sentence, fix = _REMOTE.get(mechanism, _REMOTE[Mechanism.NETWORK])
    return Claim(
        Owner.EXTERNAL if outside else Owner.ENVIRONMENT,
        mechanism,
        0.72 if mechanism is not Mechanism.PROCESS_CRASH else 0.55,
        what,
        sentence.format(host=what, error=f.network_error),
        fix.format(host=what),
        context.cite_failure(f.network_error, f.headline, f.code),
        missing=() if context.has_logs else (f"the log of the service behind {what}",),
    )


_REMOTE: dict[Mechanism, tuple[str, str]] = {
    Mechanism.TIMEOUT_BUDGET: (
        "{host} did not answer in time ({error}).",
        "Ask for the state of {host}, and give the call a budget that fits it.",
    ),
    Mechanism.DEPENDENCY_DOWN: (
        "Nothing listens at {host} ({error}).",
        "Start what serves {host} before the tests, and wait until it answers.",
    ),
    Mechanism.PROCESS_CRASH: (
        "{host} refused connections for a part of the run ({error}), though other tests reached it.",
        "Find out what ended the process behind {host} in mid-run.",
    ),
    Mechanism.NETWORK: (
        "The connection to {host} broke ({error}).",
        "Check the network and the process behind {host} at that time.",
    ),
    Mechanism.DNS: (
        "The name {host} does not resolve ({error}).",
        "Check the name in the suite's settings and the resolver of the runner.",
    ),
    Mechanism.TLS: (
        "The certificate of {host} is not accepted ({error}).",
        "Renew the certificate, or trust its authority on the runner.",
    ),
}


def named_trouble(context: Context) -> Claim | None:
    """The failure's own text names a well-known kind of trouble."""
    f = context.fact
    if f.network_error:
        return None
    reading = _TROUBLES.get(f.trouble)
    if reading is None:
        return None
    owner, strength, fix = reading
    outside = external_host((f.headline, f.url))
    if outside and f.trouble in (Mechanism.RATE_LIMIT, Mechanism.DEPENDENCY_DOWN):
        owner = Owner.EXTERNAL
    component = outside or ("database" if is_database(f.headline) else "test environment")
    return Claim(
        owner,
        f.trouble,
        strength,
        "test" if owner is Owner.TEST else component,
        f"The test fails with: {f.headline.rstrip('.')}.",
        fix,
        context.cite_failure(f.headline, f.code),
    )


_TROUBLES: dict[Mechanism, tuple[Owner, float, str]] = {
    Mechanism.DATABASE_LOCK: (
        Owner.PRODUCT,
        0.6,
        "Shorten the transactions and take locks in one order.",
    ),
    Mechanism.DATABASE_CONNECTION: (
        Owner.ENVIRONMENT,
        0.6,
        "Check the database and the number of connections that it allows.",
    ),
    Mechanism.RESOURCE_EXHAUSTION: (
        Owner.ENVIRONMENT,
        0.65,
        "Give the job the disk, memory or handles that it needs.",
    ),
    Mechanism.RATE_LIMIT: (
        Owner.ENVIRONMENT,
        0.6,
        "Raise the limit for the test environment, or slow down.",
    ),
    Mechanism.TLS: (Owner.ENVIRONMENT, 0.65, "Renew or trust the certificate."),
    Mechanism.DNS: (Owner.ENVIRONMENT, 0.65, "Check the host name and the resolver."),
    Mechanism.CLOCK: (
        Owner.ENVIRONMENT,
        0.55,
        "Synchronise the clocks, and allow leeway where times are compared.",
    ),
    Mechanism.AUTH: (
        Owner.PRODUCT,
        0.45,
        "Find out why the credentials of the test were not accepted.",
    ),
    Mechanism.CONFIGURATION: (
        Owner.ENVIRONMENT,
        0.55,
        "Supply the missing setting, file or package.",
    ),
    Mechanism.SHARED_STATE: (
        Owner.TEST,
        0.6,
        "Give each test its own data, or clean up before it.",
    ),
    Mechanism.RACE: (Owner.PRODUCT, 0.5, "Make the operation safe against concurrent change."),
    Mechanism.DEPENDENCY_DOWN: (
        Owner.ENVIRONMENT,
        0.6,
        "Start the dependency before the tests, and wait until it answers.",
    ),
}


def output_error(context: Context) -> Claim | None:
    """What the test printed, or what was captured beside it, names an error of the product."""
    f = context.fact
    for test in context.tests[:5]:
        output = f"{test.attempt.stderr}\n{test.attempt.stdout}"[-MAX_OUTPUT:]
        found = _PRINTED.search(output)
        if not found:
            continue
        said = clip(found.group())
        return Claim(
            Owner.PRODUCT,
            Mechanism.UNHANDLED_EXCEPTION,
            0.5,
            context.answering[0] if context.answering else "product",
            f"While the test ran, this was printed: {said}.",
            "Look at the stack in the output of the test, and handle the case that leads to it.",
            (Citation(said, place=f.failure.place), *context.cite_symptom()),
        )
    return None


MAX_OUTPUT = 100_000
"""Characters of a test's output that are looked at, from its end."""
_PRINTED = re.compile(
    r"^(?:[\w$]+\.)*[A-Z][\w$]*(?:Error|Exception): [^\n]+$|^panic: [^\n]+$|^Caused by: [^\n]+$",
    re.MULTILINE,
)


def crashed(context: Context) -> Claim | None:
    """The browser, the worker or the process under test died."""
    f = context.fact
    if f.symptom is not Symptom.CRASH:
        return None
    return Claim(
        Owner.ENVIRONMENT,
        Mechanism.PROCESS_CRASH,
        0.6,
        "test environment",
        f"A process that the test needs died: {f.headline.rstrip('.')}.",
        "Look for the end of the browser or worker in the job's log (memory, signal), and give it what it needs.",
        context.cite_failure(f.headline, f.code),
        missing=("the job's log with the last words of the process",),
    )


def suite_code(context: Context) -> Claim | None:
    """The test's own code raises an error that is no assertion."""
    f = context.fact
    if (
        f.has_received
        or f.locator
        or f.action
        or f.network_error
        or not _CODE_ERRORS.search(f.error_type)
    ):
        return None
    own = f.own
    if (
        own is not None
        and context.tests
        and not _is_test_code(own.file, context.tests[0].test.id.file)
    ):
        return Claim(
            Owner.PRODUCT,
            Mechanism.UNHANDLED_EXCEPTION,
            0.65,
            own.file.replace("\\", "/").rsplit("/", 1)[-1],
            f"The product's code raises {f.error_type}: {f.headline.rstrip('.')}.",
            f"Handle the case at {own.file}:{own.line} that leads to this error.",
            context.cite_failure(f.headline, own.file, f.code),
        )
    reads_answer = "KeyError" in f.error_type or "undefined" in f.headline or "None" in f.headline
    return Claim(
        Owner.TEST,
        Mechanism.WRONG_EXPECTATION if reads_answer else Mechanism.UNHANDLED_EXCEPTION,
        0.45 if reads_answer else 0.5,
        "test",
        f"The test's own code fails: {f.error_type}: {f.headline.rstrip('.')}.",
        "Compare what the test reads with what the product returns now; mend the side that changed.",
        context.cite_failure(f.headline, f.code),
        missing=("the answer that the test was reading",) if reads_answer else (),
    )


def _is_test_code(file: str, own: str) -> bool:
    """Whether a file belongs to the suite: the test's own, or named as tests are."""
    path = file.replace("\\", "/")
    return bool(own and path.endswith(own.replace("\\", "/"))) or bool(_TEST_PATH.search(path))


def suite_setup(context: Context) -> Claim | None:
    """The suite could not be set up."""
    f = context.fact
    text = f.failure.text
    tool = _MISSING_TOOL.search(text)
    if not tool and f.symptom is not Symptom.SETUP and context.tests:
        return None
    if not tool and not _FIXTURE.search(text) and context.tests:
        return None
    return Claim(
        Owner.ENVIRONMENT if tool else Owner.TEST,
        Mechanism.CONFIGURATION,
        0.7 if tool else 0.4,
        "test environment" if tool else "test",
        f"The suite could not be set up: {f.headline.rstrip('.')}.",
        "Install what the suite needs on the runner."
        if tool
        else "Mend the suite's set-up: the hook or fixture named in the failure.",
        context.cite_failure(tool.group() if tool else "", f.headline, f.code),
    )
