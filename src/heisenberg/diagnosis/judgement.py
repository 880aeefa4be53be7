"""Judge a model's answer: what it cites is looked up, and what is not proven is dropped.

Nothing in an answer is taken on trust. A quote has to stand in the item that it names; a claim
needs one such quote, and has to speak of what it quotes; its confidence is no higher than the
evidence that is left allows. When the root cause does not survive, the offline diagnosis stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from heisenberg import text
from heisenberg.diagnosis.answer import MAX_CITED, MAX_LISTED, WANTED
from heisenberg.diagnosis.instructions import speaks_to_reader
from heisenberg.model.diagnosis import Alternative, Evidence, Mechanism, Owner
from heisenberg.model.question import ItemKind
from heisenberg.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from heisenberg.diagnosis.answer import Answer, Cited, Claimed
    from heisenberg.model.diagnosis import Diagnosis
    from heisenberg.model.question import Item, Line, Question

MIN_QUOTE = 4
"""Characters of a quote; fewer stand everywhere."""
MIN_SHARED = 2
"""Telling words that a claim shares with what it cites."""
MAX_EVIDENCE = 8
"""Quotes of a diagnosis."""
MAX_SENTENCE = 400
"""Characters of what a diagnosis says in words."""
STANDS = 0.8
"""From this confidence on the offline diagnosis stands against a model that disagrees: of the
labelled cases that it is so sure of, it is right in nearly all."""

BOTH_SIDES = 0.95
"""Most confidence when a log and a test's own failure prove it."""
LOGS_ALONE = 0.85
FAILURE_ALONE = 0.7
ASIDE = 0.4
"""When only steps or passing tests are cited."""
DISAGREES = 0.75
"""When the rules found something else and were fairly sure of it."""
FAIRLY_SURE = 0.5
UNNAMED = 0.4
"""When the root cause names what no item shows."""

_LOGGED = frozenset({ItemKind.CAUSE, ItemKind.SUSPECT, ItemKind.REQUEST, ItemKind.DIFFERENCE})
_LINK = re.compile(
    r"[a-z][a-z0-9+.-]{1,20}://|\bwww\.|\]\(|<\w+[^>]*>"
    r"|\b[\w-]{2,}\.(?:com|net|org|io|dev|app|ai|co|info|biz|ru|cn|xyz|top|site|online|example|invalid)\b",
    re.IGNORECASE,
)
"""Links, hosts and markup: what a reader might follow. A host that is at fault is the component."""
_COMMAND = re.compile(
    r"\b(?:curl|wget|rm\s+-|sudo|chmod|chown|bash|sh|powershell|eval|exec|base64|nc|ssh|scp)\s+\S|\|\s*(?:ba|z)?sh\b|\$\(",
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}|\d{2,}")
_NAME = re.compile(r"[A-Za-z0-9_./:-]*(?:[a-z][A-Z]|_|/|\w\.\w|[A-Z]{2}\w*[0-9_])[A-Za-z0-9_./:-]*")
"""What reads like an identifier, a path or a code rather than a word."""
_DULL = frozenset(
    re.findall(
        r"\w+",
        """the and for with that this from was were has have had not but are its into when while then
        than because after before which where what there their they does did can cannot could should
        would test tests error errors failed fails fail failing failure failures cause caused causes
        root fine everything nothing expected works working issue problem fix ignore all any""",
    )
)
"""Words that a sentence shares with any line."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A claim that did not survive."""

    claim: str
    """`root_cause`, `suggested_fix`, `alternative product/race`."""
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is left of an answer."""

    diagnosis: Diagnosis
    """The model's, or the offline one when nothing else stands."""
    is_models: bool
    """Whether it is the model's."""
    stated: float
    """Confidence before it was calibrated."""
    dropped: tuple[Dropped, ...] = ()


def judge(
    question: Question,
    answer: Answer,
    *,
    model: str,
    calibrate: Callable[[float], float] = lambda confidence: confidence,
) -> Judgement:
    """Look up what an answer cites and make a diagnosis of what is proven.

    Args:
        question: As it was sent.
        answer: As it was read.
        model: `PROVIDER:MODEL`, for the diagnosis.
        calibrate: Turns a confidence into one that keeps its word.
    """
    dropped: list[Dropped] = []
    offline = question.hypothesis
    if answer.owner is Owner.INSUFFICIENT_EVIDENCE:
        dropped.append(Dropped("root_cause", "the model finds the evidence insufficient"))
        kept = replace(offline, missing=(*offline.missing, *_missing(question, answer)))
        return Judgement(kept, False, offline.confidence, tuple(dropped))
    proof = _proof(question, answer.root_cause, "root_cause", dropped)
    if not proof:
        return Judgement(offline, False, offline.confidence, tuple(dropped))
    agrees = (answer.owner, answer.mechanism) == (offline.owner, offline.mechanism)
    if not agrees and offline.confidence >= STANDS:
        reason = (
            f"it says {answer.owner} {answer.mechanism}; the offline diagnosis is proven and "
            f"{offline.confidence:.0%} sure of {offline.owner} {offline.mechanism}"
        )
        dropped.append(Dropped("root_cause", reason))
        return Judgement(offline, False, offline.confidence, tuple(dropped))
    fix = _proof(question, answer.suggested_fix, "suggested_fix", dropped)
    stated = _confidence(question, answer, proof, agrees=agrees)
    confidence = round(min(1.0, max(0.0, calibrate(stated))), 4)
    diagnosis = replace(
        offline,
        owner=answer.owner,
        mechanism=answer.mechanism,
        symptom=answer.symptom,
        component=_component(question, answer, proof),
        root_cause=_sentence(answer.root_cause.text),
        suggested_fix=_sentence(answer.suggested_fix.text) if fix else _own_fix(offline, agrees),
        confidence=confidence,
        evidence=_evidence(proof, fix, offline.evidence if agrees else ()),
        alternatives=_alternatives(question, answer, confidence, dropped),
        missing=_missing(question, answer),
        engine=model,
    )
    return Judgement(diagnosis, True, stated, tuple(dropped))


@dataclass(frozen=True, slots=True)
class Found:
    """A quote that was found."""

    item: Item
    line: Line
    quote: str

    @property
    def evidence(self) -> Evidence:
        """As a diagnosis has it."""
        return Evidence(self.line.source, self.line.line, self.quote, self.line.timestamp)


def _proof(
    question: Question, claim: Claimed, name: str, dropped: list[Dropped]
) -> tuple[Found, ...]:
    """What a claim cites and is there; nothing when it must be dropped."""
    reasons: list[str] = []
    found = _looked_up(question, claim.evidence, reasons)
    said = text.one_line(claim.text)
    if not said:
        reasons.append("it says nothing")
    elif _LINK.search(said) or _COMMAND.search(said):
        reasons.append("it holds a link or a command")
    elif speaks_to_reader(said):
        reasons.append("it instructs rather than tells")
    elif found and not _speaks_of(said, found):
        reasons.append("it does not speak of what it cites")
    elif found:
        if reasons:
            dropped.append(Dropped(f"a quote of {name}", "; ".join(reasons)))
        return found
    dropped.append(Dropped(name, "; ".join(reasons) or "it cites nothing"))
    return ()


def _looked_up(question: Question, cited: Sequence[Cited], reasons: list[str]) -> tuple[Found, ...]:
    """The quotes that stand in the items that they name."""
    items = {item.id: item for item in question.items}
    found: dict[Evidence, Found] = {}
    for citation in cited[:MAX_CITED]:
        item = items.get(citation.item.strip().strip("[]"))
        if item is None:
            reasons.append(f"{text.truncate(text.one_line(citation.item), 20)!r} was not sent")
            continue
        hit = _find(item, citation.quote)
        if hit is None:
            reasons.append(f"a quote does not stand in {item.id}")
        else:
            found.setdefault(hit.evidence, hit)
    return tuple(found.values())


def _find(item: Item, quote: str) -> Found | None:
    """The quote as it stands in the artefact, or what of it does.

    A model may fold white space or quote across a placeholder: then the stretch of the line that
    it means is taken, as only what stands there exactly may be cited.
    """
    for part in quote.splitlines():
        wanted = part.strip().removeprefix(f"{item.id}|").strip().rstrip(text.ELLIPSIS).strip()
        if len(wanted) < MIN_QUOTE or speaks_to_reader(wanted):
            continue
        for line in item.lines:
            exact = next((wanted for stretch in line.exact if wanted in stretch), "")
            if not exact and text.fold_whitespace(wanted) in text.fold_whitespace(line.text):
                inside = [s for s in line.exact if s in wanted]
                exact = max(inside or [s for s in line.exact if wanted not in s], key=len)
            if exact:
                return Found(item, line, exact)
    return None


def _speaks_of(said: str, found: Sequence[Found]) -> bool:
    """Whether a sentence has telling words of the items that it cites."""
    cited = {
        word.lower() for hit in found for line in hit.item.text for word in _WORD.findall(line)
    }
    telling = {word.lower() for word in _WORD.findall(said)} - _DULL
    return len(telling & cited) >= MIN_SHARED


def _confidence(
    question: Question, answer: Answer, proof: Sequence[Found], *, agrees: bool
) -> float:
    """The model's word, capped by what proves it, and by what speaks against it."""
    kinds = {hit.item.kind for hit in proof}
    if kinds & _LOGGED:
        cap = BOTH_SIDES if ItemKind.ERROR in kinds else LOGS_ALONE
    else:
        cap = FAILURE_ALONE if ItemKind.ERROR in kinds else ASIDE
    offline = question.hypothesis
    if agrees:
        # Two that looked at it in different ways say the same.
        return max(min(answer.confidence, cap), offline.confidence)
    if not _is_named(question, answer.root_cause.text):
        cap = min(cap, UNNAMED)
    if offline.owner is not Owner.INSUFFICIENT_EVIDENCE and offline.confidence >= FAIRLY_SURE:
        cap = min(cap, DISAGREES)
    return min(answer.confidence, cap)


def _is_named(question: Question, said: str) -> bool:
    """Whether all that reads like a name in a sentence stands in what was sent."""
    sent = "\n".join(line for item in question.items for line in item.text) + question.head
    sent = sent.lower()
    return all(name.strip("./:-").lower() in sent for name in _NAME.findall(said))


def _component(question: Question, answer: Answer, proof: Sequence[Found]) -> str:
    """What the answer names, if it is the name of something here."""
    said = text.one_line(answer.component)
    for name in question.names:
        if said.lower() == name.lower():
            return name
    if said and len(said) <= 100 and any(said in hit.line.text for hit in proof):  # noqa: PLR2004 (a name)
        return said
    return question.hypothesis.component


def _own_fix(offline: Diagnosis, agrees: bool) -> str:
    """What is suggested when the model's suggestion is not proven."""
    return offline.suggested_fix if agrees else "Look at the lines cited above first."


def _evidence(
    proof: Sequence[Found], fix: Sequence[Found], more: Sequence[Evidence]
) -> tuple[Evidence, ...]:
    cited = [hit.evidence for hit in (*proof, *fix)]
    return tuple(dict.fromkeys((*cited, *more)))[:MAX_EVIDENCE]


def _alternatives(
    question: Question, answer: Answer, confidence: float, dropped: list[Dropped]
) -> tuple[Alternative, ...]:
    """The other readings that cite something, and the hypothesis when it was not followed."""
    told: dict[tuple[Owner, Mechanism], float] = {}
    offline = question.hypothesis
    if offline.owner is not Owner.INSUFFICIENT_EVIDENCE and (offline.owner, offline.mechanism) != (
        answer.owner,
        answer.mechanism,
    ):
        told[offline.owner, offline.mechanism] = offline.confidence
    for other in answer.alternatives[:MAX_LISTED]:
        reading = other.owner, other.mechanism
        reasons: list[str] = []
        if not _looked_up(question, other.evidence, reasons):
            why = "; ".join(reasons) or "it cites nothing"
            dropped.append(Dropped(f"alternative {other.owner}/{other.mechanism}", why))
        elif reading != (answer.owner, answer.mechanism):
            told.setdefault(reading, other.confidence)
    left = 1 - confidence
    total = max(sum(told.values()), left, 0.01)
    shares = [Alternative(o, m, round(share * left / total, 4)) for (o, m), share in told.items()]
    return tuple(sorted(shares, key=lambda a: -a.confidence)[:MAX_LISTED])


def _missing(question: Question, answer: Answer) -> tuple[str, ...]:
    """What would settle it, in our own words."""
    told = dict.fromkeys(WANTED[wanted] for wanted in answer.missing[:MAX_LISTED])
    return tuple(words for words in told if words not in question.hypothesis.missing)


def _sentence(said: str) -> str:
    return text.truncate(Redactor()(text.one_line(said)), MAX_SENTENCE)
