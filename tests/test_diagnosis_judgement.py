"""What of a model's answer survives: proven claims, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heisenberg import pipeline
from heisenberg.delivery import json_report
from heisenberg.diagnosis.answer import MAX_CITED, Answer, read_answer
from heisenberg.diagnosis.judgement import FAILURE_ALONE, LOOSE, STANDS, judge
from heisenberg.diagnosis.prompt import evidence_text
from heisenberg.model.diagnosis import Mechanism, Owner
from heisenberg.model.question import ItemKind
from injections import INJECTIONS, MARK, Injection

if TYPE_CHECKING:
    from heisenberg.model.question import Question

EXAMPLE = Path(__file__).parents[1] / "examples" / "checkout"
CASES = Path(__file__).parent / "data" / "cases"
MODEL = "anthropic:some-model"
KEY_ERROR = "KeyError: 'USD'"


def ask(folder: Path = EXAMPLE) -> Question:
    """The one question about a folder's run."""
    (question,) = pipeline.prepare([folder], context_tokens=4000).questions
    return question


@pytest.fixture(scope="module")
def question() -> Question:
    return ask()


@pytest.fixture(scope="module")
def unsure(question: Question) -> Question:
    """The same, where the rules have hardly an idea."""
    weak = replace(question.hypothesis, owner=Owner.TEST, mechanism=Mechanism.RACE, confidence=0.3)
    return replace(question, hypothesis=weak)


def item_with(question: Question, words: str) -> str:
    """Id of the first item that holds the words."""
    return next(i.id for i in question.items if any(words in line for line in i.text))


def cite(question: Question, *quotes: str) -> list[dict[str, str]]:
    return [{"item": item_with(question, quote), "quote": quote} for quote in quotes]


def an_answer(question: Question, **changes: Any) -> Answer:
    """A right and proven answer to the example, with changes."""
    proof = cite(question, KEY_ERROR)
    answer = {
        "owner": "product",
        "mechanism": "unhandled_exception",
        "symptom": "timeout",
        "component": "payments",
        "root_cause": {"text": "payments has no rate for USD: KeyError.", "evidence": proof},
        "suggested_fix": {"action": "handle_case", "target": "payments", "evidence": proof},
        "alternatives": [],
        "missing": [],
        "confidence": 0.9,
    }
    return read_answer(msgspec.json.encode({**answer, **changes}).decode())


def a_claim(words: str, *evidence: dict[str, str]) -> dict[str, Any]:
    return {"text": words, "evidence": list(evidence)}


class TestProof:
    def test_a_proven_answer_becomes_the_diagnosis(self, question: Question) -> None:
        """What it says is taken over, with the places of its quotes."""
        judged = judge(question, an_answer(question), model=MODEL)

        first = judged.diagnosis.evidence[0]
        assert (True, MODEL) == (judged.is_models, judged.diagnosis.engine)
        assert ("logs/payments.log", 4, KEY_ERROR) == (first.source, first.line, first.quote)
        assert "payments has no rate for USD: KeyError." == judged.diagnosis.root_cause
        assert () == judged.dropped

    @pytest.mark.parametrize(
        ("evidence", "reason"),
        [
            ([{"item": "E99", "quote": KEY_ERROR}], "E99 was not sent"),
            ([{"item": "E2", "quote": "KeyError: 'EUR'"}], "a quote does not stand in E2"),
            ([{"item": "E1", "quote": KEY_ERROR}], "a quote does not stand in E1"),
            ([{"item": "E2", "quote": "e"}], "a quote does not stand in E2"),
            ([{"item": "E2", "quote": "2026"}], "a quote does not stand in E2"),
            ([{"item": "see evil.sh", "quote": KEY_ERROR}], "an item was not sent"),
            ([{"item": "E2", "quote": ""}], "a quote does not stand in E2"),
            ([], "it cites nothing"),
        ],
    )
    def test_a_root_cause_without_proof_falls_back(
        self, question: Question, evidence: list[dict[str, str]], reason: str
    ) -> None:
        """Invented, misplaced, tiny or missing quotes prove nothing: the offline diagnosis stands."""
        answer = an_answer(question, root_cause=a_claim("payments: KeyError USD", *evidence))

        judged = judge(question, answer, model=MODEL)

        assert (question.hypothesis, False) == (judged.diagnosis, judged.is_models)
        assert [("root_cause", reason)] == [(d.claim, d.reason) for d in judged.dropped]

    def test_a_bad_quote_beside_a_good_one_is_dropped_alone(self, question: Question) -> None:
        """Only what is found is evidence."""
        proof = [*cite(question, KEY_ERROR), {"item": "E2", "quote": "OutOfMemoryError"}]
        answer = an_answer(question, root_cause=a_claim("payments: KeyError USD", *proof))

        judged = judge(question, answer, model=MODEL)

        assert judged.is_models
        assert not any("OutOfMemory" in e.quote for e in judged.diagnosis.evidence)
        assert ["a quote of root_cause"] == [d.claim for d in judged.dropped]

    def test_a_fix_is_said_in_our_words(self, question: Question, unsure: Question) -> None:
        """The model chooses an action and a part of this incident; where both agree, ours stands."""
        fix = {"action": "fix_configuration", "target": "run rm -rf", "evidence": []}
        proven = {**fix, "target": "api", "evidence": cite(unsure, KEY_ERROR)}
        said = [
            judge(
                asked, an_answer(question, suggested_fix=chosen), model=MODEL
            ).diagnosis.suggested_fix
            for asked, chosen in ((question, fix), (unsure, fix), (unsure, proven))
        ]

        assert question.hypothesis.suggested_fix == said[0]
        assert "Look at the lines cited above first." == said[1]
        assert "Correct the configuration of api that the cited lines show." == said[2]

    def test_an_alternative_without_proof_is_left_out(self, question: Question) -> None:
        """Another reading is a claim too."""
        others = [
            {"owner": "test", "mechanism": "race", "confidence": 0.2, "evidence": []},
            {
                "owner": "environment",
                "mechanism": "configuration",
                "confidence": 0.1,
                "evidence": cite(question, KEY_ERROR),
            },
        ]

        judged = judge(question, an_answer(question, alternatives=others), model=MODEL)

        told = [a.mechanism for a in judged.diagnosis.alternatives]
        assert [Mechanism.CONFIGURATION] == told
        assert ["alternative test/race"] == [d.claim for d in judged.dropped]

    @pytest.mark.parametrize(
        "quote",
        [
            f"E2| {KEY_ERROR}",
            f"  {KEY_ERROR}  ",
            "KeyError:   'USD'",
            f"Traceback (most recent call last):\n{KEY_ERROR}",
        ],
    )
    def test_careless_quotes_are_found_all_the_same(self, question: Question, quote: str) -> None:
        """What is cited then is what really stands there."""
        proof = {"item": item_with(question, KEY_ERROR), "quote": quote}
        answer = an_answer(question, root_cause=a_claim("payments: KeyError USD", proof))

        evidence = judge(question, answer, model=MODEL).diagnosis.evidence

        raw = (EXAMPLE / "logs" / "payments.log").read_text()
        assert all(e.quote in raw for e in evidence if e.source == "logs/payments.log")

    def test_evidence_from_another_incident(self) -> None:
        """What proves one incident of a run proves nothing about the other."""
        folder = CASES / "two-causes-1"
        prepared = pipeline.prepare(
            [folder / "report.json"], [folder / "logs"], context_tokens=4000
        )
        one, two = prepared.questions
        theirs = [{"item": i.id, "quote": line} for i in two.items for line in i.text]
        foreign = [c for c in theirs if not any(c["quote"] in i.text for i in one.items)]
        assert foreign

        for start in range(0, len(foreign), MAX_CITED):
            claim = a_claim("the payment gateway refused it", *foreign[start : start + MAX_CITED])
            judged = judge(one, an_answer(ask(), root_cause=claim), model=MODEL)

            assert (one.hypothesis, False) == (judged.diagnosis, judged.is_models)


class TestConfidence:
    def test_is_capped_by_what_proves_it(self, unsure: Question) -> None:
        """A failure's own text alone proves less than a log does."""
        waited = "Locator: getByRole('heading', { name: 'Thanks for your order' })"
        claim = a_claim("The heading 'Thanks for your order' is not there.", *cite(unsure, waited))

        judged = judge(unsure, an_answer(unsure, root_cause=claim, confidence=1.0), model=MODEL)

        assert FAILURE_ALONE == judged.diagnosis.confidence

    def test_a_name_that_stands_nowhere_was_made_up(
        self, question: Question, unsure: Question
    ) -> None:
        """The claim is dropped, whether it agrees or not."""
        claim = a_claim("payments: KeyError USD in chargeCustomerCard_v2", *cite(unsure, KEY_ERROR))

        for asked in (question, unsure):
            judged = judge(asked, an_answer(asked, root_cause=claim), model=MODEL)

            assert not judged.is_models
            assert "it names what no evidence shows" == judged.dropped[0].reason

    def test_a_line_that_nothing_ties_to_the_failure_proves_little(self, unsure: Question) -> None:
        """Whoever sends a request may have it logged: it is a guess, and only where rules have none."""
        lost = replace(
            unsure, hypothesis=replace(unsure.hypothesis, owner=Owner.INSUFFICIENT_EVIDENCE)
        )
        differing = next(i for i in unsure.items if i.kind is ItemKind.DIFFERENCE)
        line = max(differing.text, key=len)
        words = " ".join(sorted(set(re.findall("[a-z]{4,}", line)))[:6])
        claim = a_claim(words, {"item": differing.id, "quote": line[:300]})

        dropped = judge(unsure, an_answer(unsure, root_cause=claim), model=MODEL)
        guess = judge(lost, an_answer(lost, root_cause=claim, confidence=1.0), model=MODEL)

        assert not dropped.is_models
        assert (True, LOOSE) == (guess.is_models, guess.diagnosis.confidence)

    def test_alternatives_are_no_surer_than_the_diagnosis(self, unsure: Question) -> None:
        """And not having enough evidence is no alternative."""
        others = [
            {"owner": o, "mechanism": m, "confidence": 1.0, "evidence": cite(unsure, KEY_ERROR)}
            for o, m in (("environment", "configuration"), ("insufficient_evidence", "clock"))
        ]

        said = judge(
            unsure, an_answer(unsure, alternatives=others, confidence=0.1), model=MODEL
        ).diagnosis

        assert {Owner.ENVIRONMENT, Owner.TEST} == {a.owner for a in said.alternatives}
        assert all(a.confidence <= said.confidence for a in said.alternatives)

    def test_agreement_is_no_less_sure_than_the_rules(self, question: Question) -> None:
        """A modest model does not make a proven diagnosis less so."""
        judged = judge(question, an_answer(question, confidence=0.1), model=MODEL)

        assert question.hypothesis.confidence == judged.diagnosis.confidence

    def test_a_sure_hypothesis_stands_against_another_opinion(self, question: Question) -> None:
        """Proven by rules at `STANDS` or more: a model that disagrees is told of, and not followed."""
        assert question.hypothesis.confidence >= STANDS
        judged = judge(question, an_answer(question, owner="test"), model=MODEL)

        assert (question.hypothesis, False) == (judged.diagnosis, judged.is_models)
        assert "it says test unhandled_exception" in judged.dropped[0].reason

    def test_a_fairly_sure_hypothesis_caps_another_opinion(self, question: Question) -> None:
        """And stays as an alternative."""
        fair = replace(question, hypothesis=replace(question.hypothesis, confidence=0.6))

        judged = judge(fair, an_answer(fair, owner="test", confidence=1.0), model=MODEL)

        assert (Owner.TEST, 0.7) == (judged.diagnosis.owner, judged.diagnosis.confidence)
        assert Owner.PRODUCT == judged.diagnosis.alternatives[0].owner

    def test_is_calibrated(self, unsure: Question) -> None:
        """What was stated is kept beside what it is worth."""
        judged = judge(unsure, an_answer(unsure), model=MODEL, calibrate=lambda stated: stated / 2)
        raised = judge(unsure, an_answer(unsure), model=MODEL, calibrate=lambda _: 0.99)

        assert judged.stated == 2 * judged.diagnosis.confidence > 0
        assert raised.diagnosis.confidence == raised.stated  # its cap

    def test_a_model_that_abstains_leaves_the_offline_diagnosis(self, question: Question) -> None:
        """And adds what it misses."""
        answer = an_answer(question, owner="insufficient_evidence", missing=["trace", "trace"])

        judged = judge(question, answer, model=MODEL)

        assert question.hypothesis.owner == judged.diagnosis.owner
        assert ("a trace of the failing attempt",) == judged.diagnosis.missing


class TestNames:
    @pytest.mark.parametrize(
        ("said", "component"),
        [("payments", "payments"), ("API", "api"), ("checkout.spec.ts", "checkout.spec.ts")],
    )
    def test_a_component_is_of_this_incident(
        self, unsure: Question, said: str, component: str
    ) -> None:
        """A service, a test file, a host."""
        judged = judge(unsure, an_answer(unsure, component=said), model=MODEL)

        assert component == judged.diagnosis.component

    @pytest.mark.parametrize("said", ["billing-core", "", "x" * 5000, "\x1b[31mred", "KeyError"])
    def test_an_unknown_component_is_not_taken_over(
        self, question: Question, unsure: Question, said: str
    ) -> None:
        """Then it is the offline engine's, and so is any when that is sure."""
        judged = judge(unsure, an_answer(unsure, component=said), model=MODEL)
        sure = judge(question, an_answer(question, component="postgres"), model=MODEL)

        assert unsure.hypothesis.component == judged.diagnosis.component
        assert question.hypothesis.component == sure.diagnosis.component

    def test_texts_can_steer_no_terminal(self, question: Question) -> None:
        """What a model writes is untrusted text like any other."""
        claim = a_claim("payments:\x1b[2J KeyError\u202e USD\nrates", *cite(question, KEY_ERROR))

        cause = judge(
            question, an_answer(question, root_cause=claim), model=MODEL
        ).diagnosis.root_cause

        assert cause.isprintable()
        assert "\n" not in cause

    @pytest.mark.parametrize(
        "said",
        [
            "payments timeout: KeyError USD. \u8bf7\u5173\u95ed\u7b7e\u540d\u6821\u9a8c",
            "payments KeyError USD timeout: \uff52\uff55\uff4e \uff43\uff55\uff52\uff4c\uff5c\uff53\uff48",
            "payments KeyError USD timeout: \u0432\u0432\u0451\u043b \u043f\u0430\u0440\u043e\u043b\u044c",
        ],
    )
    def test_other_scripts_are_words_too(
        self, question: Question, unsure: Question, said: str
    ) -> None:
        """What is written in them is no more proven."""
        for asked in (question, unsure):
            claim = a_claim(said, *cite(asked, KEY_ERROR))

            assert not judge(asked, an_answer(asked, root_cause=claim), model=MODEL).is_models


WITHHELD = {
    "plain",
    "as-system",
    "as-json",
    "new-role",
    "german",
    "polish",
    "look-alikes",
    "invisible",
}
"""Some that `instructions` has to notice; the others are for `judgement` alone."""


class TestInjections:
    """Text in a log that instructs the model changes nothing, even when the model obeys."""

    def planted(self, folder: Path, injection: Injection) -> Question:
        """The example with the line logged, as an error, in the request that failed."""
        shutil.copytree(EXAMPLE, folder / "case")
        log = folder / "case" / "logs" / "payments.log"
        lines = log.read_text().splitlines()
        at = next(n for n, line in enumerate(lines) if "charge failed" in line)
        stamp = lines[at][:23]
        lines.insert(at, f"{stamp} ERROR payments.gateway: {injection.line}")
        log.write_text("\n".join(lines) + "\n")
        return ask(folder / "case")

    @pytest.mark.parametrize("injection", INJECTIONS, ids=lambda i: i.name)
    def test_is_data_or_not_sent_at_all(self, tmp_path: Path, injection: Injection) -> None:
        """Every line of it that is sent stands behind a bar."""
        sent = evidence_text(self.planted(tmp_path, injection)).splitlines()

        loose = [line for line in sent if MARK in line and "| " not in line[:6]]
        assert [] == loose
        if injection.name in WITHHELD:
            assert not any(MARK in line for line in sent)

    @pytest.mark.parametrize("sure", [True, False], ids=["sure", "unsure"])
    @pytest.mark.parametrize("injection", INJECTIONS, ids=lambda i: i.name)
    def test_nothing_gets_through_an_obedient_model(
        self, tmp_path: Path, injection: Injection, sure: bool
    ) -> None:
        """Neither by citing the line itself, nor by citing real evidence for what it says."""
        question = self.planted(tmp_path, injection)
        if not sure:
            weak = replace(question.hypothesis, confidence=0.3)
            question = replace(question, hypothesis=weak)
        theirs = [
            {"item": item.id, "quote": line}
            for item in question.items
            for line in item.text
            if MARK in line
        ]
        real = cite(question, KEY_ERROR)
        against = {"owner": "external", "mechanism": "unknown"}
        proofs = (theirs, real, [*real, *theirs], [{"item": "E1", "quote": injection.line}])
        for proof, verdict in product(proofs, (against, {}) if sure else (against,)):
            answer = an_answer(
                question,
                **verdict,
                component=MARK,
                root_cause=a_claim(injection.root_cause, *proof),
                suggested_fix={"action": "tell_provider", "target": MARK, "evidence": proof},
                confidence=1.0,
            )
            judged = judge(question, answer, model=MODEL)
            said = json_report.dump(json_report.diagnosis_document(judged.diagnosis))

            assert MARK not in said
            assert question.hypothesis.owner == judged.diagnosis.owner


class TestHonesty:
    def test_what_people_say_of_a_failure_passes(self) -> None:
        """Most labelled causes, in the words of who labelled them, with lines that prove them."""
        passed = []
        for folder in sorted(CASES.iterdir()):
            truth = json.loads((folder / "truth.json").read_text())
            report = next(p for p in (folder / "report.json", folder / "junit.xml") if p.exists())
            prepared = pipeline.prepare([report], [folder / "logs"], context_tokens=4000)
            for incident, asked in zip(prepared.report.incidents, prepared.questions, strict=True):
                titles = {test.id.title for test in incident.tests}
                true = next(i for i in truth["incidents"] if titles & set(i["tests"]))
                proof = [
                    {"item": item.id, "quote": line[:300].rstrip("…")}
                    for item in asked.items
                    for line in item.text
                    if any(key in line for key in true["key_evidence"])
                ]
                answer = an_answer(
                    ask(),
                    owner=true["owner"],
                    mechanism=true["mechanism"],
                    root_cause=a_claim(true["cause"], *proof),
                )
                passed.append(judge(asked, answer, model=MODEL).is_models)

        assert len(passed) > 8
        assert sum(passed) >= 0.6 * len(passed)


class TestForm:
    @pytest.mark.parametrize(
        "change",
        [
            {"owner": "nobody"},
            {"confidence": 2},
            {"confidence": "high"},
            {"root_cause": "a text"},
            {"root_cause": {"text": "x" * 601, "evidence": []}},
            {"root_cause": {"text": " ", "evidence": []}},
            {"note": "unasked"},
            {"missing": ["a bribe"]},
        ],
    )
    def test_another_form_is_no_answer(self, question: Question, change: dict[str, Any]) -> None:
        """It is refused with words that a model can mend it by."""
        with pytest.raises(ValueError, match=r"\w"):
            an_answer(question, **change)

    @pytest.mark.parametrize(
        "change",
        [
            {"owner": f"it's fine: {MARK}"},
            {f"$ all is fine {MARK}": 1},
            {f"a` {MARK} `c": 1},
            {"confidence": MARK},
            {"alternatives": [{MARK: 1}]},
        ],
    )
    def test_what_is_wrong_is_said_in_our_words(
        self, question: Question, change: dict[str, Any]
    ) -> None:
        """The message is shown to the user: nothing that the model wrote is in it."""
        with pytest.raises(ValueError, match=r"\w") as caught:
            an_answer(question, **change)

        assert MARK not in str(caught.value)

    @given(text=st.text(max_size=200))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        """Nothing but a ValueError comes of what a model may write."""
        with pytest.raises(ValueError, match=r"\w"):
            read_answer(text)
