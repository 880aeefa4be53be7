from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from heisenberg.errors import SourceError
from heisenberg.sources.disk import discover

if TYPE_CHECKING:
    from pathlib import Path


def test_folder_is_walked_in_order_past_hidden_folders_and_code(tmp_path: Path) -> None:
    """Files come by name; hidden folders and node_modules are passed by."""
    for name in ("b/two.xml", "a.json", ".git/x.json", "node_modules/m/y.json", "b/one.xml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")

    found = discover([tmp_path])

    assert ["a.json", "b/one.xml", "b/two.xml"] == [a.source for a in found.artefacts]
    assert (1,) * 3 == tuple(a.size_bytes for a in found.artefacts)


def test_missing_path_is_named(tmp_path: Path) -> None:
    """A path that does not exist raises, naming it and what to do."""
    missing = tmp_path / "nowhere"

    with pytest.raises(SourceError, match=r"nowhere: no such file or folder; check the path"):
        discover([missing])


def test_file_is_named_by_its_own_folder(tmp_path: Path) -> None:
    """A file given as such is named without its folder."""
    (tmp_path / "report.json").write_text("{}")

    found = discover([tmp_path / "report.json"])

    assert ["report.json"] == [a.source for a in found.artefacts]


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    """Two artefacts never share a source."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(name)

    found = discover([tmp_path / "one", tmp_path / "two"])

    sources = [a.source for a in found.artefacts]
    assert [(tmp_path / n / "report.json").as_posix() for n in ("one", "two")] == sources


def test_file_named_twice_counts_once(tmp_path: Path) -> None:
    """A file inside a folder that is given as well is one artefact."""
    (tmp_path / "report.json").write_text("{}")

    found = discover([tmp_path, tmp_path / "report.json"])

    assert ["report.json"] == [a.source for a in found.artefacts]


def test_loops_pipes_and_dead_links_do_no_harm(tmp_path: Path) -> None:
    """A link back up, a link to nothing and a pipe are passed over."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "dead").symlink_to(tmp_path / "gone")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "z.xml").write_text("x")

    found = discover([tmp_path])

    assert ["z.xml"] == [a.source for a in found.artefacts]
    assert not found.problems


def test_pipe_as_argument_is_refused(tmp_path: Path) -> None:
    """Reading a pipe could wait for ever."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(SourceError, match="neither a file nor a folder"):
        discover([tmp_path / "pipe"])
