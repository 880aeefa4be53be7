"""Analyse every case and score it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from heisenberg import pipeline
from heisenberg.errors import HeisenbergError, NoReportError, UsageError
from heisenberg.evaluation.cases import AUTO, TRUTH, Case, find_cases
from heisenberg.evaluation.scores import CaseScore, Evaluation, score
from heisenberg.model.report import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from heisenberg.model.report import Report


def evaluate(
    folder: Path,
    *,
    report: str = AUTO,
    analyze: Callable[[Sequence[Path], Sequence[Path]], Report] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Score every case below a folder.

    A case whose truth cannot be read, or that lacks the report asked for, is a problem and is not
    scored. A case that cannot be analysed is a problem too, and all its incidents count as missed.

    Args:
        folder: Holds the cases, at any depth.
        report: Which report of each case to read, relative to its folder; `auto` takes
            report.json, else junit.xml, else the first other file that is a report.
        analyze: Makes a report of reports and logs; `pipeline.analyze` when not given.
        progress: Told the name of each case.

    Raises:
        UsageError: There is no such folder, or no case in it that can be scored.
    """
    scores: list[CaseScore] = []
    problems: list[Problem] = []
    for case in find_cases(folder):
        progress(case.name)
        scored = _score(case, report, problems, analyze or pipeline.analyze)
        if scored:
            scores.append(scored)
    if not scores:
        raise UsageError(f"{problems[0].source}: {problems[0].reason}; no case can be scored")
    return Evaluation(tuple(scores), tuple(problems))


def _score(
    case: Case,
    choice: str,
    problems: list[Problem],
    analyze: Callable[[Sequence[Path], Sequence[Path]], Report],
) -> CaseScore | None:
    """Score one case, or add a problem."""
    try:
        truth = case.truth()
    except HeisenbergError as error:
        problems.append(Problem(f"{case.name}/{TRUTH}", str(error)))
        return None
    if choice != AUTO and not (case.folder / choice).exists():
        problems.append(Problem(case.name, f"has no {choice}; not scored"))
        return None
    used, report = "", None
    started = time.perf_counter()
    try:
        used, report = _analyze(case, choice, analyze)
    except HeisenbergError as error:
        problems.append(Problem(case.name, str(error)))
    return score(case.name, used, truth, report, time.perf_counter() - started)


def _analyze(
    case: Case, choice: str, analyze: Callable[[Sequence[Path], Sequence[Path]], Report]
) -> tuple[str, Report]:
    """The first report of the case that can be read, and what was made of it."""
    for path in case.reports(choice):
        try:
            report = analyze([path], case.logs())
        except NoReportError:
            if choice != AUTO:
                raise
            continue
        return path.relative_to(case.folder).as_posix(), report
    raise NoReportError(f"{case.folder}: no test report in it")
