"""Run the stages: find, read, correlate, cluster, diagnose. The only module that knows them all.

`prepare` ends with the offline diagnoses and, when wanted, with what a model is to be asked about
each; whoever called it has the questions answered, or not, by `diagnosis.consult`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from heisenberg.analysis.cluster import cluster
from heisenberg.analysis.correlate import correlate
from heisenberg.analysis.difference import differing
from heisenberg.analysis.facts import read_facts
from heisenberg.analysis.fingerprint import digest, fingerprint
from heisenberg.analysis.happenings import template
from heisenberg.analysis.windows import Span, Spans, own_span
from heisenberg.diagnosis.context import Context
from heisenberg.diagnosis.disclosure import without_secrets
from heisenberg.diagnosis.engine import diagnose
from heisenberg.diagnosis.question import ask_about, texts_of
from heisenberg.diagnosis.verify import Verifier
from heisenberg.errors import NoReportError, ReadError, SourceError
from heisenberg.model.correlation import Cluster
from heisenberg.model.question import MAX_QUESTIONS
from heisenberg.model.report import Counts, Incident, Problem, Report
from heisenberg.model.run import Outcome
from heisenberg.readers import logs as log_readers
from heisenberg.readers import merge, registry
from heisenberg.redact import Redactor
from heisenberg.sources import disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from heisenberg.model.correlation import Correlation, Difference
    from heisenberg.model.failure import Failure
    from heisenberg.model.question import Question
    from heisenberg.model.run import Artefact, Run, Test
    from heisenberg.readers.logs import Log


MAX_GAP_MIN = 30.0
"""Minutes between the end of one report and the start of the next that a re-run may leave."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """The artefacts by what they are."""

    runs: tuple[Run, ...]
    logs: tuple[Artefact, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is analysed offline, and what a model could be asked about it."""

    report: Report
    """Every failed or flaky test in one incident, every incident diagnosed, and no secret of an
    artefact in it."""
    questions: tuple[Question, ...] = ()
    """One an incident, in the order of the report, about the first `MAX_QUESTIONS`; none when none
    were wanted."""


def analyze(
    paths: Sequence[Path],
    logs: Sequence[Path] = (),
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Analyse what a run left behind, offline; see `prepare`."""
    return prepare(paths, logs, progress=progress).report


def prepare(
    paths: Sequence[Path],
    logs: Sequence[Path] = (),
    *,
    context_tokens: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Analyse what a run left behind, and put the questions for a model.

    Args:
        paths: Reports, or folders with reports and perhaps logs; told apart by content.
        logs: Logs, or folders with logs.
        context_tokens: Of a question's prompt at most; None for no questions.
        progress: Told what is being done, for long work.

    Raises:
        SourceError: A path does not exist or cannot be walked.
        NoReportError: None of the paths holds a readable report.
    """
    # Looked up together, so that no two artefacts get one name; a report may lie among the logs.
    found = disk.discover([*paths, *logs])
    mine = {artefact.path.resolve() for artefact in disk.discover(paths).artefacts}
    artefacts = [a for a in found.artefacts if a.path.resolve() in mine]
    explicit = {path for path in paths if path.is_file()}
    reports = sort_out(artefacts, explicit, progress)
    others = [a for a in found.artefacts if a.path.resolve() not in mine]
    extra = _only_logs(others, {path for path in logs if path.is_file()})
    problems = (*found.problems, *reports.problems, *extra.problems, *_apart(reports.runs))
    if not reports.runs:
        raise NoReportError(_no_report(paths, problems))
    return prepare_run(
        merge.merge(reports.runs),
        (*extra.logs, *reports.logs),
        {a.source: a for a in found.artefacts},
        problems=problems,
        context_tokens=context_tokens,
        progress=progress,
    )


def prepare_run(  # noqa: PLR0913 (what a run consists of)
    run: Run,
    logs: Iterable[Artefact],
    sources: Mapping[str, Artefact],
    *,
    counts: Counts | None = None,
    problems: Sequence[Problem] = (),
    context_tokens: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Analyse a run that has been read already, and put the questions for a model.

    Args:
        run: All its tests, or only those that did not pass.
        logs: What its services wrote.
        sources: Every artefact that may be cited, by `Artefact.source`.
        counts: Tests by outcome, when the run does not hold all of them.
        problems: What was found wrong before.
        context_tokens: Of a question's prompt at most; None for no questions.
        progress: Told what is being done, for long work.
    """
    counts = counts or _counts(run)
    opened: list[Log] = []
    told = list(problems)
    try:
        if _has_failures(run):
            _open(logs, opened, told)
        progress("correlating")
        correlation = correlate(run, opened, progress)
        progress("diagnosing")
        verifier = Verifier(sources, log_readers.count_lines)
        diagnosed = _diagnosed(run, correlation, verifier, counts.passed)
        told += [
            Problem(source, f"its clock is off, so its times were corrected: {offset.reason}")
            for source, offset in correlation.offsets.items()
        ]
        told += [Problem(log.source, reason) for log in opened for reason in log.problems]
        redactor = Redactor()
        for said in _texts(run, correlation):
            redactor.learn(said)
        material: list[_Material] = []
        if context_tokens is not None:
            material = _material(
                [c for c, _ in diagnosed[:MAX_QUESTIONS]], run, correlation, opened
            )
            told += _unasked(len(diagnosed) - len(material))
        for said in chain.from_iterable(map(_Material.texts, material)):
            redactor.learn(said)
        report = Report(counts, tuple(incident for _, incident in diagnosed), tuple(told))
        report = without_secrets(report, redactor)
        questions = tuple(
            ask_about(
                m.context,
                incident.diagnosis,
                verifier,
                redactor=redactor,
                incident=incident.id,
                fingerprint=incident.fingerprint,
                counts=counts,
                differences=m.differences,
                passed=m.passed,
                budget_tokens=context_tokens or 0,
            )
            for m, incident in zip(material, report.incidents, strict=False)
        )
    finally:
        for log in opened:
            log.close()
    return Prepared(report, questions)


def _texts(run: Run, correlation: Correlation) -> list[str]:
    """What the failures, their titles and the records beside them say."""
    texts = dict.fromkeys(failure.text for failure in run.failures)
    for failed in correlation.tests:
        texts[failed.facts.failure.text] = None
        texts[failed.test.id.title] = None
        for suspect in failed.suspects:
            texts |= dict.fromkeys(record.text for record in (suspect.root, *suspect.chain))
    return list(texts)


def _unasked(incidents: int) -> list[Problem]:
    """Tell that models are not asked about some incidents."""
    reason = f"of one run models are asked about {MAX_QUESTIONS} incidents at most"
    left = f"the offline diagnosis stands for {incidents} more"
    return [Problem("model", f"{reason}; {left}")] if incidents > 0 else []


def sort_out(
    artefacts: Iterable[Artefact],
    explicit: set[Path],
    progress: Callable[[str], None] = lambda _: None,
) -> Sorted:
    """Read the reports among the artefacts and set the logs aside.

    Args:
        artefacts: Of any kind.
        explicit: Files that the user named: one that is no report is a problem. A file that
            merely lies in a folder is passed over unless it is a report that cannot be read.
        progress: Told of each report before it is read.
    """
    runs: list[Run] = []
    logs: list[Artefact] = []
    problems: list[Problem] = []
    for artefact in artefacts:
        try:
            if artefact.path in explicit or registry.looks_like_report(artefact):
                progress(f"reading {artefact.source}")
                runs.append(registry.read(artefact))
            elif log_readers.sniff(artefact) is not None:
                logs.append(artefact)
        except (ReadError, SourceError) as error:
            problems.append(Problem(artefact.source, str(error)))
        except OSError as error:
            problems.append(Problem(artefact.source, f"cannot be read: {error.strerror or error}"))
    return Sorted(tuple(runs), tuple(logs), tuple(problems))


def _only_logs(artefacts: Iterable[Artefact], explicit: set[Path]) -> Sorted:
    """What `--logs` names: what is no log is a problem."""
    logs: list[Artefact] = []
    problems: list[Problem] = []
    for artefact in artefacts:
        try:
            if registry.looks_like_report(artefact):
                if artefact.path in explicit:
                    problems.append(
                        Problem(artefact.source, "is a test report; give it before --logs")
                    )
                continue
            if log_readers.sniff(artefact) is not None:
                logs.append(artefact)
            elif artefact.size_bytes:
                problems.append(
                    Problem(artefact.source, "is no log: no lines of text that a log would have")
                )
        except (ReadError, SourceError) as error:
            problems.append(Problem(artefact.source, str(error)))
    return Sorted((), tuple(logs), tuple(problems))


def _apart(runs: Sequence[Run]) -> tuple[Problem, ...]:
    """Tell of reports that are merged although they began far apart."""
    dated = sorted((r for r in runs if r.started_at), key=lambda r: str(r.started_at))
    problems = []
    for one, two in pairwise(dated):
        if one.started_at is None or two.started_at is None:
            continue
        minutes = (two.started_at - one.started_at).total_seconds() / 60
        length = (one.duration_ms or 0) / 60_000
        if minutes > length + MAX_GAP_MIN:
            reason = (
                f"began {minutes:.0f} min after {', '.join(one.sources)}; read as shards or re-runs of one run: "
                "if they are different runs, analyse them one at a time"
            )
            problems.append(Problem(", ".join(two.sources), reason))
    return tuple(problems)


def _no_report(paths: Sequence[Path], problems: Sequence[Problem]) -> str:
    where = ", ".join(str(path) for path in paths[:3])
    if len(problems) == 1:
        return f"{problems[0].source}: {problems[0].reason}"
    if problems:
        return (
            f"{where}: no report could be read; {problems[0].source}: {problems[0].reason} "
            f"(and {len(problems) - 1} more)"
        )
    return (
        f"{where}: no test report found; give a Playwright JSON, JUnit XML or CTRF file, "
        "or a folder that holds one"
    )


def _has_failures(run: Run) -> bool:
    return bool(run.failures) or any(
        t.outcome in (Outcome.FAILED, Outcome.FLAKY) for t in run.tests
    )


def _open(artefacts: Iterable[Artefact], opened: list[Log], problems: list[Problem]) -> None:
    for artefact in artefacts:
        try:
            opened.append(log_readers.open_log(artefact))
        except (ReadError, SourceError, OSError) as error:
            problems.append(Problem(artefact.source, str(error)))


def _counts(run: Run) -> Counts:
    outcomes = [t.outcome for t in run.tests]
    return Counts(
        total=len(outcomes),
        passed=outcomes.count(Outcome.PASSED),
        failed=outcomes.count(Outcome.FAILED),
        flaky=outcomes.count(Outcome.FLAKY),
        skipped=outcomes.count(Outcome.SKIPPED),
        duration_ms=run.duration_ms,
    )


def _diagnosed(
    run: Run, correlation: Correlation, verifier: Verifier, passed: int
) -> list[tuple[Context, Incident]]:
    """Diagnose each cluster, and each error outside any test; the worst first."""
    incidents: list[tuple[Context, Incident]] = []
    seen: set[str] = set()
    for group in (*cluster(correlation), *_outside(run.failures)):
        context = _context(group, run.failures, correlation, passed)
        mark = fingerprint(context.fact)
        name = digest(f"{group.key}\n{mark}")[:12]
        while name in seen:
            name = digest(f"{name}+")[:12]
        seen.add(name)
        tests = tuple(failed.test for failed in group.tests)
        incident = Incident(name, mark, tests, diagnose(context, verifier))
        incidents.append((context, incident))
    return sorted(incidents, key=lambda pair: _badness(pair[1]))


@dataclass(frozen=True, slots=True)
class _Material:
    """What a question about an incident is made of."""

    context: Context
    differences: tuple[Difference, ...]
    passed: list[Test]

    def texts(self) -> Iterator[str]:
        """Every text that may be shown."""
        return texts_of(self.context, self.differences, self.passed)


def _material(
    contexts: Sequence[Context], run: Run, correlation: Correlation, logs: Sequence[Log]
) -> list[_Material]:
    """Gather for each incident what tells its failing tests from passing ones."""
    fine = [
        (test, span)
        for test in run.tests
        for attempt in test.attempts
        if test.is_fine(attempt) and (span := own_span(attempt))
    ]
    spans = [span for _, span in fine]
    passed = [(test, span) for test, span in fine if test.outcome is Outcome.PASSED]
    gathered = []
    for context in contexts:
        failing = [Span(*window) for test in context.tests for window in test.windows]
        suspects = [*([context.cause] if context.cause else []), *context.related]
        known = {template(record) for s in suspects for record in (s.root, *s.chain)}
        differences = differing(failing, spans, logs, correlation.offsets, known=known)
        files = {t.test.id.file for t in context.tests}
        gathered.append(_Material(context, differences, _meanwhile(passed, Spans(failing), files)))
    return gathered


def _meanwhile(passed: Sequence[tuple[Test, Span]], failing: Spans, files: set[str]) -> list[Test]:
    """Tests that passed: first those beside the failing ones, then others of the same file."""
    told = [(test, failing.overlaps(span)) for test, span in passed]
    beside = [test for test, is_beside in told if is_beside]
    same_file = [test for test, is_beside in told if not is_beside and test.id.file in files]
    return beside + same_file


def _outside(failures: Sequence[Failure]) -> list[Cluster]:
    """Errors outside any test are one incident: the suite did not come up."""
    return [Cluster((), None, "outside any test")] if failures else []


def _context(
    group: Cluster, failures: Sequence[Failure], correlation: Correlation, passed: int
) -> Context:
    tests = group.tests
    facts = tuple(t.facts for t in tests) or tuple(read_facts(f) for f in failures)
    return Context(
        facts=facts,
        tests=tests,
        cause=group.cause,
        related=group.related,
        services=correlation.services,
        offsets=tuple(correlation.offsets.values()),
        answering=correlation.answering,
        ports=correlation.ports,
        run_passed=passed,
        has_times=correlation.has_times,
    )


def _badness(incident: Incident) -> tuple[bool, int]:
    """Failed before flaky, many tests before few; else in the order found."""
    flaky = bool(incident.tests) and all(t.outcome is Outcome.FLAKY for t in incident.tests)
    return (flaky, -len(incident.tests))
