"""Labelled cases on disk: what one CI job left behind, and a `truth.json` that says what it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from heisenberg.errors import MalformedError, UsageError
from heisenberg.model.diagnosis import Mechanism, Owner  # noqa: TC001 (msgspec reads annotations)
from heisenberg.model.run import Outcome  # noqa: TC001 (likewise)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRUTH = "truth.json"
AUTO = "auto"
"""Asks for the best report of a case, whichever that is."""
_FIRST_CHOICES = ("report.json", "junit.xml")
_NO_REPORTS = {TRUTH, "logs", "traces", "job.log"}


class TrueIncident(msgspec.Struct, frozen=True):
    """One thing that really was wrong."""

    owner: Owner
    mechanism: Mechanism
    tests: tuple[str, ...]
    """Titles of the tests that it took."""
    key_evidence: tuple[str, ...] = ()
    """A right diagnosis quotes a line that holds any one of these."""
    component: str = ""
    cause: str = ""


class Truth(msgspec.Struct, frozen=True):
    """What really happened in a run. Keys that are not known here are left alone."""

    incidents: tuple[TrueIncident, ...]
    """Empty for a clean run."""
    outcomes: dict[str, Outcome] = {}
    """Outcome of each red test by its title."""


@dataclass(frozen=True, slots=True)
class Case:
    """A folder with a truth."""

    name: str
    """Path of the folder below the folder that is evaluated."""
    folder: Path

    def truth(self) -> Truth:
        """Read what was wrong.

        Raises:
            MalformedError: It cannot be read, or is not what a truth.json should be.
        """
        try:
            return msgspec.json.decode((self.folder / TRUTH).read_bytes(), type=Truth)
        except msgspec.MsgspecError as error:
            raise MalformedError(f"not a truth.json: {error}") from error
        except OSError as error:
            raise MalformedError(f"cannot be read: {error.strerror}") from error

    def reports(self, choice: str) -> Iterator[Path]:
        """The paths to try, in order, until one holds a report.

        Args:
            choice: A path below the case's folder, or `auto`.
        """
        if choice != AUTO:
            yield self.folder / choice
            return
        for name in _FIRST_CHOICES:
            if (self.folder / name).is_file():
                yield self.folder / name
        for path in sorted(self.folder.iterdir()):
            if path.name not in _NO_REPORTS and path.name not in _FIRST_CHOICES:
                yield path

    def logs(self) -> tuple[Path, ...]:
        """The folder with the services' logs, if there is one."""
        folder = self.folder / "logs"
        return (folder,) if folder.is_dir() else ()


def find_cases(folder: Path) -> tuple[Case, ...]:
    """All folders with a truth.json, the folder itself or any depth below, by name.

    Raises:
        UsageError: There is no such folder, or no case in it.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; name a folder of labelled cases")
    cases = tuple(
        Case(path.parent.relative_to(folder).as_posix(), path.parent)
        for path in sorted(folder.rglob(TRUTH))
    )
    if not cases:
        raise UsageError(f"{folder}: no case in it; a case is a folder with a {TRUTH}")
    return cases
