from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery_samples import a_diagnosis, a_test
from heisenberg import evaluation, pipeline
from heisenberg.cli import app
from heisenberg.errors import MalformedError, NoReportError, UsageError
from heisenberg.evaluation import scores
from heisenberg.evaluation.cases import TrueIncident, Truth
from heisenberg.model.diagnosis import Evidence, Mechanism, Owner
from heisenberg.model.report import Counts, Incident, Report
from heisenberg.model.run import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Pipeline = dict[str, Report | Exception]


def predicted(
    *titles: str,
    owner: Owner = Owner.PRODUCT,
    mechanism: Mechanism = Mechanism.RACE,
    confidence: float = 0.8,
    quote: str = "the key line",
    statuses: tuple[Status, ...] = (Status.FAILED,),
) -> Incident:
    """An incident as the engine might predict it."""
    diagnosis = a_diagnosis(
        owner=owner,
        mechanism=mechanism,
        confidence=confidence,
        evidence=(Evidence("a.log", 1, quote),),
    )
    return Incident("i", "f", tuple(a_test(t, statuses=statuses) for t in titles), diagnosis)


def report(*incidents: Incident) -> Report:
    """A report of these incidents."""
    return Report(Counts(9, 9, 0, 0, 0, None), incidents)


def true(
    *titles: str,
    owner: Owner = Owner.PRODUCT,
    mechanism: Mechanism = Mechanism.RACE,
    key: str = "key line",
) -> TrueIncident:
    """An incident as it really was."""
    return TrueIncident(owner, mechanism, titles, (key,))


def truth(*incidents: TrueIncident) -> Truth:
    """A truth in which all tests of the incidents failed."""
    return Truth(incidents, {title: Outcome.FAILED for i in incidents for title in i.tests})


def scored(truth_: Truth, *incidents: Incident) -> evaluation.Evaluation:
    """The evaluation of one case."""
    return evaluation.Evaluation((scores.score("c", "r.json", truth_, report(*incidents), 0.5),))


def write_case(folder: Path, name: str, content: object, *files: str) -> None:
    """Make a case's folder."""
    case = folder / name
    for file in ("truth.json", *files):
        (case / file).parent.mkdir(parents=True, exist_ok=True)
        (case / file).write_text("x", encoding="utf-8")
    (case / "truth.json").write_text(json.dumps(content), encoding="utf-8")


CLEAN: dict[str, Any] = {"case": "clean", "outcomes": {}, "incidents": []}
RACE: dict[str, Any] = {
    "case": "race",
    "outcomes": {"a": "failed", "b": "flaky"},
    "incidents": [
        {
            "owner": "product",
            "mechanism": "race",
            "component": "api",
            "cause": "a race",
            "tests": ["a", "b"],
            "key_evidence": ["key line"],
        }
    ],
    "stats": {"left": "alone"},
}


@pytest.fixture
def analyses(monkeypatch: pytest.MonkeyPatch) -> tuple[Pipeline, list[tuple[str, list[str]]]]:
    """Fixed answers by `CASE/FILE`, and a record of what was asked with which logs."""
    answers: Pipeline = {}
    asked: list[tuple[str, list[str]]] = []

    def analyze(
        paths: Sequence[Path],
        logs: Sequence[Path] = (),
        *,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Report:
        progress("reading")
        (path,) = paths
        name = f"{path.parent.name}/{path.name}"
        asked.append((name, [log.name for log in logs]))
        answer = answers.get(name, NoReportError(f"{name}: no report"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(pipeline, "analyze", analyze)
    return answers, asked


def test_a_perfect_answer_scores_full_marks() -> None:
    """Everything right makes every figure its best."""
    result = scored(truth(true("a", "b"), true("c")), predicted("a", "b"), predicted("c"))

    assert (1, 1) == (result.owner_accuracy, result.mechanism_accuracy)
    assert (1, 1, 1) == (result.incident_f1, result.evidence_recall, result.outcome_accuracy)
    assert result.brier == pytest.approx(0.04)
    assert result.ece == pytest.approx(0.2)


def test_a_missed_incident_counts_as_wrong() -> None:
    """No shared test: owner, mechanism and evidence are wrong, and the stranger is unexpected."""
    result = scored(truth(true("a")), predicted("z"))

    assert (0, 0, 0) == (
        result.owner_accuracy,
        result.mechanism_accuracy,
        result.evidence_recall,
    )
    assert (0, 0) == (result.incident_f1, result.outcome_accuracy)
    assert 1 == len(result.cases[0].unexpected)
    assert not result.claims[0].is_right


def test_the_match_is_the_one_that_shares_most_tests() -> None:
    """A true incident is judged by the prediction that holds most of its tests."""
    result = scored(
        truth(true("a", "b", "c")),
        predicted("a", owner=Owner.TEST),
        predicted("b", "c", "d"),
    )

    assert 1 == result.owner_accuracy


@pytest.mark.parametrize(
    ("groups", "f1"),
    [
        ([["a", "b"], ["c"]], 1.0),
        ([["a", "b", "c"]], 2 * 4 / (4 + 6)),
        ([["a"], ["b"], ["c"]], 2 * 3 / (4 + 3)),
        ([["a", "b"]], 2 * 3 / (4 + 3)),
        ([["a", "b"], ["c"], ["z"]], 2 * 4 / (4 + 5)),
        ([], 0.0),
    ],
)
def test_f1_counts_pairs_and_each_test_with_itself(groups: list[list[str]], f1: float) -> None:
    """Merging costs precision; splitting and missing tests cost recall."""
    result = scored(truth(true("a", "b"), true("c")), *(predicted(*g) for g in groups))

    assert f1 == pytest.approx(result.incident_f1)


def test_a_clean_run_with_an_incident_is_a_false_alarm() -> None:
    """An incident in a clean run counts once, and its confidence is lost."""
    result = scored(truth(), predicted("a"), predicted("b"))

    assert (1, 1) == (result.clean_runs, result.false_alarms)
    assert (None, 0) == (result.owner_accuracy, result.incident_f1)
    assert result.brier == pytest.approx(0.64)


def test_nothing_predicted_of_nothing_has_no_rates() -> None:
    """A clean run that is called clean raises no alarm and has nothing to divide by."""
    result = scored(truth())

    assert (1, 0) == (result.clean_runs, result.false_alarms)
    assert (None, None, None) == (result.incident_f1, result.brier, result.outcome_accuracy)


@pytest.mark.parametrize(
    ("statuses", "accuracy"),
    [((Status.FAILED,), 0), ((Status.FAILED, Status.PASSED), 1), ((Status.TIMED_OUT,), 0)],
)
def test_outcomes_are_compared(statuses: tuple[Status, ...], accuracy: float) -> None:
    """A flaky test that is called failed is wrong."""
    labelled = Truth((true("a"),), {"a": Outcome.FLAKY})

    assert accuracy == scored(labelled, predicted("a", statuses=statuses)).outcome_accuracy


def test_a_claim_is_right_only_when_owner_and_mechanism_are() -> None:
    """The right owner with the wrong mechanism does not pay for its confidence."""
    result = scored(truth(true("a")), predicted("a", mechanism=Mechanism.CLOCK, confidence=1.0))

    assert (1, 0) == (result.owner_accuracy, result.mechanism_accuracy)
    assert 1 == result.brier


def test_reliability_has_a_row_for_every_bin() -> None:
    """Confidences go to their bins; 1 goes to the last, and empty bins say so."""
    claims = [scores.Claim(c, right) for c, right in ((0.0, False), (0.95, True), (1.0, False))]
    table = scores.reliability(claims)

    assert [1, 0, 0, 0, 0, 0, 0, 0, 0, 2] == [b.number for b in table]
    assert table[-1].confidence == pytest.approx(0.975)
    assert 0.5 == table[-1].accuracy
    assert (None, None) == (table[5].confidence, table[5].accuracy)


groupings = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4), max_size=4)


@given(groupings, groupings)
def test_every_rate_is_a_rate(expected: list[list[str]], got: list[list[str]]) -> None:
    """Whatever is compared, figures stay in [0, 1], and equal groups score 1."""
    labelled = truth(*(true(*group) for group in expected))
    result = scored(labelled, *(predicted(*group) for group in got))

    rates = (
        result.incident_f1,
        result.owner_accuracy,
        result.evidence_recall,
        result.outcome_accuracy,
        result.brier,
        result.ece,
    )
    assert all(rate is None or 0 <= rate <= 1 for rate in rates)
    same = scored(labelled, *(predicted(*group) for group in expected))
    assert same.incident_f1 == (1 if expected else None)
    json.loads(evaluation.render_json(result))
    assert evaluation.render_text(result)


def test_cases_are_found_at_any_depth(
    tmp_path: Path, analyses: tuple[Pipeline, list[tuple[str, list[str]]]]
) -> None:
    """Each folder with a truth is a case; report.json is read first, with the logs folder."""
    answers, asked = analyses
    write_case(tmp_path, "deep/er/clean", CLEAN, "report.json", "junit.xml")
    write_case(tmp_path, "race", RACE, "junit.xml", "logs/api.log", "job.log")
    answers["clean/report.json"] = report()
    answers["race/junit.xml"] = report(predicted("a", "b"))
    result = evaluation.evaluate(tmp_path)

    assert ["deep/er/clean", "race"] == [case.name for case in result.cases]
    assert [("clean/report.json", []), ("race/junit.xml", ["logs"])] == asked
    assert (1, 0, ()) == (result.owner_accuracy, result.false_alarms, result.problems)


def test_any_other_report_will_do(
    tmp_path: Path, analyses: tuple[Pipeline, list[tuple[str, list[str]]]]
) -> None:
    """Without the usual names the first file that is a report is taken, never the truth."""
    answers, asked = analyses
    write_case(tmp_path, "clean", CLEAN, "a.txt", "results.ctrf", "logs/x.log", "job.log")
    answers["clean/results.ctrf"] = report()
    result = evaluation.evaluate(tmp_path)

    assert ["clean/a.txt", "clean/results.ctrf"] == [name for name, _ in asked]
    assert "results.ctrf" == result.cases[0].report


def test_a_report_can_be_chosen(
    tmp_path: Path, analyses: tuple[Pipeline, list[tuple[str, list[str]]]]
) -> None:
    """`--report junit.xml` reads that, though a report.json is there."""
    answers, asked = analyses
    write_case(tmp_path, "clean", CLEAN, "report.json", "junit.xml")
    answers["clean/junit.xml"] = report()
    evaluation.evaluate(tmp_path, report="junit.xml")

    assert [("clean/junit.xml", [])] == asked


def test_a_case_without_the_chosen_report_is_not_scored(
    tmp_path: Path, analyses: tuple[Pipeline, list[tuple[str, list[str]]]]
) -> None:
    """What was never there says nothing about the diagnosis; it is said that it is missing."""
    answers, _ = analyses
    write_case(tmp_path, "clean", CLEAN, "report.json", "junit.xml")
    write_case(tmp_path, "race", RACE, "report.json")
    answers["clean/junit.xml"] = report()
    result = evaluation.evaluate(tmp_path, report="junit.xml")

    assert ["clean"] == [case.name for case in result.cases]
    assert ["has no junit.xml; not scored"] == [p.reason for p in result.problems]


def test_an_unreadable_case_counts_as_missed(
    tmp_path: Path, analyses: tuple[Pipeline, list[tuple[str, list[str]]]]
) -> None:
    """A case whose report is refused is a problem, and its incidents are wrong."""
    answers, _ = analyses
    write_case(tmp_path, "race", RACE, "report.json")
    answers["race/report.json"] = MalformedError("cut off")
    result = evaluation.evaluate(tmp_path)

    assert ["race"] == [p.source for p in result.problems]
    assert (0, 0) == (result.owner_accuracy, result.incident_f1)


@pytest.mark.parametrize(
    "bad", ["", "{", "[]", '{"incidents": 3}', '{"incidents": [{"owner": "nobody"}]}', "\x00"]
)
def test_a_bad_truth_is_a_problem(
    tmp_path: Path, bad: str, analyses: tuple[Pipeline, list[tuple[str, list[str]]]]
) -> None:
    """A truth that cannot be read is named, and the other cases are scored."""
    answers, _ = analyses
    write_case(tmp_path, "clean", CLEAN, "report.json")
    write_case(tmp_path, "odd", CLEAN, "report.json")
    (tmp_path / "odd" / "truth.json").write_text(bad, encoding="utf-8")
    answers["clean/report.json"] = report()
    result = evaluation.evaluate(tmp_path)

    assert ["clean"] == [case.name for case in result.cases]
    assert ["odd/truth.json"] == [p.source for p in result.problems]


def test_no_case_is_bad_usage(tmp_path: Path) -> None:
    """A folder without cases, or without a readable one, cannot be scored."""
    with pytest.raises(UsageError, match="no case in it"):
        evaluation.evaluate(tmp_path)

    write_case(tmp_path, "odd", [], "report.json")
    with pytest.raises(UsageError, match="no case can be scored"):
        evaluation.evaluate(tmp_path)


def test_the_text_says_what_was_wrong(
    tmp_path: Path,
    analyses: tuple[Pipeline, list[tuple[str, list[str]]]],
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    """Each wrong case tells what was expected and what came."""
    answers, _ = analyses
    write_case(tmp_path, "clean", CLEAN, "report.json")
    write_case(tmp_path, "race", RACE, "report.json")
    answers["clean/report.json"] = report(predicted("x", owner=Owner.TEST))
    answers["race/report.json"] = report(
        predicted("a", mechanism=Mechanism.CLOCK, quote="nothing"), predicted("b")
    )
    code = app.run(["eval", str(tmp_path)])

    out = capsysbinary.readouterr().out.decode()
    assert 0 == code
    assert "2 cases, 1 incident\n" in out
    assert "owner accuracy             100%\n" in out
    assert "mechanism accuracy           0%\n" in out
    assert "false alarms         1 of 1 clean\n" in out
    assert "✘ clean" in out
    assert "    false alarm: test race (x)\n" in out
    assert "    expected product race, got product clock (80%)\n" in out
    assert "    evidence: no quote holds 'key line'\n" in out
    assert "    split: 1 of 3 pairs not together\n" in out
    assert "    outcome: b is flaky, got failed\n" in out


def test_the_json_has_every_figure(
    tmp_path: Path,
    analyses: tuple[Pipeline, list[tuple[str, list[str]]]],
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    """The document carries the figures, the tables and what was got in each case."""
    answers, _ = analyses
    write_case(tmp_path, "race", RACE, "report.json")
    answers["race/report.json"] = report(predicted("a", "b"))
    code = app.run(["eval", str(tmp_path), "--format", "json"])

    document = json.loads(capsysbinary.readouterr().out)
    assert 0 == code
    assert "heisenberg.eval/1" == document["schema"]
    assert (1, 1) == (document["cases"], document["incidents"])
    assert (1.0, 1.0, 1.0) == (
        document["owner_accuracy"],
        document["incident_f1"],
        document["evidence_recall"],
    )
    assert 0.5 == document["outcome_accuracy"]
    assert 10 == len(document["reliability"])
    assert {"race": {"n": 1, "owner_accuracy": 1.0, "mechanism_accuracy": 1.0}} == {
        name: {k: row[k] for k in ("n", "owner_accuracy", "mechanism_accuracy")}
        for name, row in document["by_mechanism"].items()
    }
    (incident,) = document["results"][0]["incidents"]
    assert {"owner": "product", "mechanism": "race"} == incident["expected"]
    assert ("product", 0.8) == (incident["got"]["owner"], incident["got"]["confidence"])
