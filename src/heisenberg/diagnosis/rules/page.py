"""Rules about what the test looked for on the page and did not find."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from heisenberg.diagnosis.claim import Citation, Claim
from heisenberg.diagnosis.context import clip
from heisenberg.model.diagnosis import Mechanism, Owner

if TYPE_CHECKING:
    from heisenberg.diagnosis.context import Context

_BY_TEXT = re.compile(
    r"getByText|getByTitle|getByAltText|get_by_text|name: |name=|has-?text|hasText|contains\(",
    re.IGNORECASE,
)
_BY_HANDLE = re.compile(
    r"getByTestId|get_by_test_id|data-test|locator\(['\"](?:css=|xpath=)?[.#/\[a-z]|getByLabel|getByPlaceholder|"
    r"get_by_label|By\.|^[.#]|^//|cssSelector|xpath",
    re.IGNORECASE,
)
_CONTROL = re.compile(
    r"Role\(\s*['\"](?:button|link|textbox|checkbox|combobox|tab|menuitem|radio|searchbox|switch|slider|option)\b"
)
"""What one acts on; when it is gone it was renamed, where a heading or a text was reworded."""
_NOT_READY = re.compile(
    r"element is not (?:enabled|stable|visible|editable)|intercepts pointer events|is disabled|element is outside|"
    r"not interactable|is not clickable|detached from the DOM|covered by another element",
    re.IGNORECASE,
)
_SCRIPT = re.compile(
    r"Uncaught \w|Cannot (?:read|set) propert(?:y|ies) of |\b[\w$.]{1,80} is not a function\b"
    r"|\b[\w$]{1,80} is not defined\b|\b(?:undefined|null) is not an? \w|Unhandled (?:promise )?rejection"
    r"|Maximum call stack size exceeded"
)
"""Errors of scripts in a page, in the words of the engines."""
WITNESS = (
    "a Playwright trace or the page's error context of the failing attempt: what the page did show",
)


def selector_drift(context: Context) -> Claim | None:
    """An action found nothing to act on, though nothing failed behind the page."""
    f = context.fact
    if not (f.not_found and f.locator):
        return None
    if f.action:
        strength = 0.72
    elif _CONTROL.search(f.locator):
        strength = 0.62
    elif _BY_HANDLE.search(f.locator) and not _BY_TEXT.search(f.locator):
        strength = 0.5
    else:
        strength = 0.3
    if len({fact.locator for fact in context.facts if fact.locator}) > 1 and len(context.facts) > 1:
        strength += 0.05
    if context.is_flaky:
        strength *= 0.4
    return Claim(
        Owner.TEST,
        Mechanism.SELECTOR_DRIFT,
        strength,
        "test",
        f"The test looks for {f.locator}, which is nowhere on the page: it was probably renamed or moved.",
        "Compare the locator with the page as it is now and update it in one place.",
        context.cite_failure(f.locator, f.code, f.headline),
        missing=WITNESS,
    )


def ambiguous_locator(context: Context) -> Claim | None:
    """The locator matches more than the one element that it meant."""
    f = context.fact
    if not f.is_ambiguous:
        return None
    return Claim(
        Owner.TEST,
        Mechanism.SELECTOR_DRIFT,
        0.75,
        "test",
        f"The locator {f.locator or 'of the test'} matches several elements where the test means one.",
        "Narrow the locator to the one element that the test means.",
        context.cite_failure("strict mode violation", f.headline, f.locator, f.code),
    )


def text_not_shown(context: Context) -> Claim | None:
    """A text that the test expects never appeared, and nothing failed behind the page."""
    f = context.fact
    if not (f.not_found and f.locator and not f.action and _BY_TEXT.search(f.locator)):
        return None
    if _CONTROL.search(f.locator):
        return None
    return Claim(
        Owner.TEST,
        Mechanism.WRONG_EXPECTATION,
        0.3 if context.is_flaky else 0.62,
        "test",
        f"The test waits for {f.locator}, and the page never shows it: the wording has probably changed.",
        "Check the wording with the product; update the test if the change was meant, else the page.",
        context.cite_failure(f.locator, f.code, f.headline),
        missing=WITNESS,
    )


def element_not_ready(context: Context) -> Claim | None:
    """The element is there but cannot be used."""
    f = context.fact
    found = _NOT_READY.search(f.failure.text)
    if not found:
        return None
    flaky = context.is_flaky
    return Claim(
        Owner.TEST if flaky else Owner.PRODUCT,
        Mechanism.ASYNC_WAIT if flaky else Mechanism.LOGIC_ERROR,
        0.55,
        "test" if flaky else "front end",
        f"{f.locator or 'The element'} is on the page but cannot be used ({found.group()}).",
        "Wait for the state that makes it usable."
        if flaky
        else "Find out why the page keeps it disabled, covered or moving.",
        context.cite_failure(found.group(), f.locator, f.code),
        missing=WITNESS,
    )


def script_error(context: Context) -> Claim | None:
    """The page's own script raised an error, as the browser's console tells."""
    f = context.fact
    output = "\n".join(f"{t.attempt.stderr}\n{t.attempt.stdout}" for t in context.tests[:5])
    found = _SCRIPT.search(output)
    if not found or not (f.locator or f.action):
        return None
    line = output[output.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0]
    said = clip(line)
    return Claim(
        Owner.PRODUCT,
        Mechanism.UNHANDLED_EXCEPTION,
        0.8,
        "front end",
        f"The page's script fails: {said}.",
        "Mend the script where the error is raised; the browser's console has the stack.",
        (Citation(said, place=f.failure.place), *context.cite_symptom()),
    )
