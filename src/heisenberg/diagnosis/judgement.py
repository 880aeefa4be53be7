"""Judge a model's answer: what it cites is looked up, and what is not proven is dropped.

Nothing in an answer is taken on trust. A quote has to stand in the item that it names; a claim
needs one such quote, and has to speak of what it quotes, in names that the evidence has; what to do
is said in words of ours; its confidence is no higher than the evidence that is left allows. When the
root cause does not survive, the offline diagnosis stands.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from heisenberg import text
from heisenberg.diagnosis.answer import ACTIONS, MAX_CITED, MAX_LISTED, WANTED
from heisenberg.diagnosis.instructions import speaks_to_reader
from heisenberg.diagnosis.vocabulary import PLAIN, telling
from heisenberg.model.diagnosis import Alternative, Evidence, Mechanism, Owner
from heisenberg.model.question import ItemKind
from heisenberg.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from heisenberg.diagnosis.answer import Answer, Cited, Claimed, Fix
    from heisenberg.model.diagnosis import Diagnosis
    from heisenberg.model.question import Item, Line, Question

MIN_QUOTE = 12
"""Characters of a quote; a shorter one needs two telling words."""
MAX_QUOTE = 600
"""Characters of a quote that are looked for: no line that is sent is so long."""
SPOKEN = 0.8
"""Share of a claim's telling words that are of the evidence, or plain."""
MAX_EVIDENCE = 8
"""Quotes of a diagnosis."""
MAX_SENTENCE = 400
"""Characters of what a diagnosis says in words."""
STANDS = 0.8
"""From this confidence on the offline diagnosis stands against a model that disagrees: of the
labelled cases that it is so sure of, it is right in nearly all."""

BOTH_SIDES = 0.95
"""Most confidence when a suspected record of a log and a test's own failure prove it."""
LOGS_ALONE = 0.85
FAILURE_ALONE = 0.7
LOOSE = 0.5
"""When only lines are cited that nothing ties to the failure; a stranger may have made them."""

_TIED = frozenset({ItemKind.CAUSE, ItemKind.REQUEST})
"""What the rules tie to the failure; not what merely stands near it, or differs."""
_FOLLOWABLE = re.compile(
    r"[a-z][a-z0-9+.-]{1,20}://|\bwww\.|\]\(|<\w+[^>]*>|`|\[\.\]|@\w|\$\(|\||(?<!\w)--?[a-z]"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b",
    re.IGNORECASE,
)
"""Links, markup, commands, addresses and handles: what a reader might follow."""
_HOST = re.compile(r"\b[\w-]{2,}(?:\.[\w-]+)*\.[a-z]{2,24}\b", re.IGNORECASE)
_ITEM = re.compile(r"E\d{1,3}")
_NAME = re.compile(r"[A-Za-z0-9_./:-]*(?:[a-z][A-Z]|_|/|\w\.\w|[A-Z]{2}\w*[0-9_])[A-Za-z0-9_./:-]*")
"""What reads like an identifier, a path or a code rather than a word."""


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
    proof = _proof(question, answer.root_cause, dropped)
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
    fix_proof = () if agrees else _cited(question, answer.suggested_fix, dropped)
    cap = _cap(question, proof, agrees=agrees)
    stated = min(answer.confidence, cap)
    confidence = min(cap, max(0.0, calibrate(stated)))
    if agrees:  # two that looked at it in different ways say the same
        confidence = max(confidence, offline.confidence)
    confidence = round(confidence, 4)
    diagnosis = replace(
        offline,
        owner=answer.owner,
        mechanism=answer.mechanism,
        symptom=answer.symptom,
        component=offline.component
        if agrees and offline.confidence >= STANDS
        else _component(question, answer.component),
        root_cause=text.truncate(told(answer.root_cause.text), MAX_SENTENCE),
        suggested_fix=_fix(question, answer.suggested_fix, fix_proof, agrees=agrees),
        confidence=confidence,
        evidence=_evidence(proof, fix_proof, offline.evidence if agrees else ()),
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


def _proof(question: Question, claim: Claimed, dropped: list[Dropped]) -> tuple[Found, ...]:
    """What the root cause cites and is there; nothing when it must be dropped."""
    reasons: list[str] = []
    found = _looked_up(question, claim.evidence, reasons)
    said = told(claim.text)
    if not said:
        reasons.append("it says nothing")
    elif _is_foreign(question, said):
        reasons.append("it is written in letters that no evidence has")
    elif redact(said) != said:
        reasons.append("it holds what looks like a secret, and none was sent")
    elif _is_followable(question, said):
        reasons.append("it holds a link, an address or a command")
    elif speaks_to_reader(said):
        reasons.append("it instructs rather than tells")
    elif found and not _is_named(question, said):
        reasons.append("it names what no evidence shows")
    elif found and not _speaks_of(question, said, found):
        reasons.append("it does not speak of what it cites")
    elif found:
        if reasons:
            dropped.append(Dropped("a quote of root_cause", "; ".join(reasons)))
        return found
    dropped.append(Dropped("root_cause", "; ".join(reasons) or "it cites nothing"))
    return ()


def _cited(question: Question, fix: Fix, dropped: list[Dropped]) -> tuple[Found, ...]:
    """What the suggestion cites and is there."""
    reasons: list[str] = []
    found = _looked_up(question, fix.evidence, reasons)
    if not found:
        dropped.append(Dropped("suggested_fix", "; ".join(reasons) or "it cites nothing"))
    return found


def _looked_up(question: Question, cited: Sequence[Cited], reasons: list[str]) -> tuple[Found, ...]:
    """The quotes that stand in the items that they name."""
    items = {item.id: item for item in question.items}
    found: dict[Evidence, Found] = {}
    for citation in cited[:MAX_CITED]:
        item = items.get(citation.item.strip().strip("[]"))
        if item is None:
            known = _ITEM.fullmatch(citation.item)
            reasons.append(f"{citation.item if known else 'an item'} was not sent")
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
    for part in quote[: 10 * MAX_QUOTE].splitlines():
        wanted = part.strip().removeprefix(f"{item.id}|").strip().rstrip(text.ELLIPSIS).strip()
        if not _is_telling(wanted) or len(wanted) > MAX_QUOTE or speaks_to_reader(wanted):
            continue
        for line in item.lines:
            exact = next((wanted for stretch in line.exact if wanted in stretch), "")
            if not exact and text.fold_whitespace(wanted) in text.fold_whitespace(line.text):
                folded = text.fold_whitespace(wanted)
                meant = [s for s in line.exact if _are_alike(text.fold_whitespace(s), folded)]
                exact = max(meant, key=len, default="")
            if exact:
                return Found(item, line, exact)
    return None


def _are_alike(one: str, other: str) -> bool:
    return one in other or other in one


def _is_telling(quote: str) -> bool:
    """Whether a quote is more than what stands anywhere."""
    return len(quote) >= MIN_QUOTE or len(telling(quote)) > 1


def _speaks_of(question: Question, said: str, found: Sequence[Found]) -> bool:
    """Whether a sentence tells, in words of the evidence and plain ones, what the lines show.

    Lines that nothing ties to the failure may be anybody's: they count only where the rules have no
    idea at all, and then prove little (see `_cap`). Where the rules are sure, of the logs the lines
    of their own proof count alone.
    """
    lines = [hit.line for hit in found if _is_tied(question, hit) or _is_lost(question)]
    if not lines:
        return False
    words = telling(said)
    cited = telling("\n".join((*question.names, *(line.text for line in lines))))
    known = words & (PLAIN | telling(_shown(question)))
    return bool(words & cited) and len(known) >= SPOKEN * len(words)


def _is_tied(question: Question, hit: Found) -> bool:
    """Whether the rules, or the failure itself, tie a line to what happened."""
    offline = question.hypothesis
    if hit.item.kind is ItemKind.ERROR:
        return True
    if (hit.line.source, hit.line.line) in {(e.source, e.line) for e in offline.evidence}:
        return True
    return offline.confidence < STANDS and hit.item.kind in _TIED


def _is_lost(question: Question) -> bool:
    """Whether the rules have no idea."""
    return question.hypothesis.owner is Owner.INSUFFICIENT_EVIDENCE


def _is_followable(question: Question, said: str) -> bool:
    """Whether a sentence holds something that a reader might follow, but for hosts of this incident."""
    plain = said
    for name in question.names:
        plain = plain.replace(name, " ")
    if _FOLLOWABLE.search(plain):
        return True
    shown = _shown(question)
    return any(host.lower() not in shown for host in _HOST.findall(plain))


def told(said: str) -> str:
    """What a model wrote, on one line, in the usual forms of its letters."""
    return text.one_line(unicodedata.normalize("NFKC", said))


def _is_foreign(question: Question, said: str) -> bool:
    """Whether it has letters beyond ASCII that stand nowhere in what is tied to the failure."""
    if said.isascii():
        return False
    shown = _shown(question)
    return any(c.isalpha() and not c.isascii() and c.lower() not in shown for c in said)


def _is_named(question: Question, said: str) -> bool:
    """Whether all that reads like a name in a sentence stands in what was sent."""
    shown = _shown(question)
    return all(name.strip("./:-").lower() in shown for name in _NAME.findall(said))


def _shown(question: Question) -> str:
    """What is tied to the failure; all that was sent, where the rules have no idea."""
    lost = _is_lost(question)
    kinds = _TIED | {ItemKind.ERROR, ItemKind.STEP}
    lines = (line for item in question.items if lost or item.kind in kinds for line in item.text)
    return "\n".join((*lines, question.head, *question.names)).lower()


def _cap(question: Question, proof: Sequence[Found], *, agrees: bool) -> float:
    """The most confidence that the proof allows, and what speaks against it."""
    kinds = {hit.item.kind for hit in proof if _is_tied(question, hit)}
    if kinds - {ItemKind.ERROR}:
        cap = BOTH_SIDES if ItemKind.ERROR in kinds else LOGS_ALONE
    elif kinds:
        cap = FAILURE_ALONE
    else:
        cap = LOOSE
    if agrees or _is_lost(question):
        return cap
    return min(cap, 1 - question.hypothesis.confidence / 2)


def _component(question: Question, said: str) -> str:
    """What the answer names, if it is the name of something here; else what the rules name."""
    wanted = text.one_line(said).lower()
    named = (name for name in question.names if name.lower() == wanted)
    return next(named, question.hypothesis.component)


def _fix(question: Question, fix: Fix, proof: Sequence[Found], *, agrees: bool) -> str:
    """What to do, in words of ours: a model chooses the action and names a part of this incident."""
    if agrees:
        return question.hypothesis.suggested_fix
    if not proof:
        return "Look at the lines cited above first."
    return ACTIONS[fix.action].format(target=_component(question, fix.target))


def _evidence(
    proof: Sequence[Found], fix: Sequence[Found], more: Sequence[Evidence]
) -> tuple[Evidence, ...]:
    cited = [hit.evidence for hit in (*proof, *fix)]
    return tuple(dict.fromkeys((*cited, *more)))[:MAX_EVIDENCE]


def _alternatives(
    question: Question, answer: Answer, confidence: float, dropped: list[Dropped]
) -> tuple[Alternative, ...]:
    """The other readings that cite something, and the hypothesis when it was not followed.

    They share what confidence is left, and none has more than the diagnosis.
    """
    told: dict[tuple[Owner, Mechanism], float] = {}
    offline = question.hypothesis
    followed = answer.owner, answer.mechanism
    if offline.owner is not Owner.INSUFFICIENT_EVIDENCE:
        told[offline.owner, offline.mechanism] = offline.confidence
    for other in answer.alternatives[:MAX_LISTED]:
        reasons: list[str] = []
        if other.owner is Owner.INSUFFICIENT_EVIDENCE:
            continue
        if _looked_up(question, other.evidence, reasons):
            told.setdefault((other.owner, other.mechanism), other.confidence)
        else:
            why = "; ".join(reasons) or "it cites nothing"
            dropped.append(Dropped(f"alternative {other.owner}/{other.mechanism}", why))
    told.pop(followed, None)
    left = 1 - confidence
    scale = left / max(sum(told.values()), left, 0.01)
    shares = [
        Alternative(owner, mechanism, round(min(share * scale, confidence), 4))
        for (owner, mechanism), share in told.items()
    ]
    return tuple(sorted(shares, key=lambda a: -a.confidence)[:MAX_LISTED])


def _missing(question: Question, answer: Answer) -> tuple[str, ...]:
    """What would settle it, in our own words."""
    told = dict.fromkeys(WANTED[wanted] for wanted in answer.missing[:MAX_LISTED])
    return tuple(words for words in told if words not in question.hypothesis.missing)
