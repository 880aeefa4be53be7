"""Find artefacts among files and folders."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from heisenberg.errors import SourceError
from heisenberg.model.report import Problem
from heisenberg.model.run import Artefact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__"})
"""Folders that are walked past, besides hidden ones: they hold code, never artefacts."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the paths led to."""

    artefacts: tuple[Artefact, ...]
    """Each file once, in the order of the paths, and by name within a folder."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """A file, or what is wrong with it, before its name is settled."""

    name: str
    """Relative to the argument's folder."""
    full_name: str
    """As the argument was given, and on from there."""
    path: Path
    size_bytes: int = 0
    problem: str = ""


def discover(paths: Sequence[Path]) -> Discovery:
    """List the regular files that the paths name or hold.

    A folder is walked in the order of names, past hidden folders, `node_modules` and links that
    lead back into it. A file that cannot be opened becomes a problem; a socket, a pipe or a device
    inside a folder is passed over.

    Args:
        paths: Files and folders, any number of each.

    Returns:
        Artefacts named relative to the argument that led to them. Where two would get one name,
        both are named by the path as it was given.

    Raises:
        SourceError: A path does not exist, or is neither a file nor a folder.
    """
    found: list[_Found] = []
    seen: set[tuple[int, int]] = set()
    for path in paths:
        found += [item for item in _walk(path) if item.problem or _is_new(item.path, seen)]
    names = Counter(item.name for item in found)
    found = [replace(i, name=i.full_name) if names[i.name] > 1 else i for i in found]
    return Discovery(
        artefacts=tuple(Artefact(i.name, i.path, i.size_bytes) for i in found if not i.problem),
        problems=tuple(Problem(i.name, i.problem) for i in found if i.problem),
    )


def _is_new(path: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether the file was not met before under another path or link."""
    try:
        status = path.stat()
    except OSError:
        return False
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        return False
    seen.add(identity)
    return True


def _walk(path: Path) -> Iterator[_Found]:
    """Yield what one argument leads to."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise SourceError(_why_not(path, error)) from error
    given = path.as_posix()
    if stat.S_ISDIR(status.st_mode):
        yield from _walk_folder(path, "", given, ((status.st_dev, status.st_ino),))
    elif stat.S_ISREG(status.st_mode):
        yield _file(path, path.name, given, status.st_size)
    else:
        raise SourceError(f"{path}: neither a file nor a folder; name a report or a folder of them")


def _why_not(path: Path, error: Exception) -> str:
    """Say why an argument cannot be used."""
    match error:
        case FileNotFoundError():
            return f"{path}: no such file or folder; check the path"
        case PermissionError():
            return f"{path}: permission denied; check who may read it"
        case OSError():
            return f"{path}: {error.strerror or error}"
        case _:
            return f"{os.fspath(path)!r}: not a path: {error}"


def _walk_folder(
    folder: Path, prefix: str, given: str, above: tuple[tuple[int, int], ...]
) -> Iterator[_Found]:
    """Yield a folder's files by name.

    Args:
        folder: Where to look.
        prefix: Its name relative to the argument, with a final slash; empty for the argument.
        given: Its name as the argument was given.
        above: (device, inode) of the folder and of all that lead to it, to break loops.
    """
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        reason = f"folder cannot be listed: {error.strerror}; check who may read it"
        yield _Found(prefix.rstrip("/") or given, given, folder, problem=reason)
        return
    for entry in entries:
        name, path = _shown(entry.name), Path(entry.path)
        try:
            status = entry.stat()
        except OSError:
            continue  # a link that leads nowhere or in a circle, or a file that has just gone
        if stat.S_ISREG(status.st_mode):
            yield _file(path, prefix + name, f"{given}/{name}", status.st_size)
        elif stat.S_ISDIR(status.st_mode):
            identity = (status.st_dev, status.st_ino)
            if entry.name.startswith(".") or entry.name in SKIPPED_FOLDERS or identity in above:
                continue
            yield from _walk_folder(path, f"{prefix}{name}/", f"{given}/{name}", (*above, identity))


def _file(path: Path, name: str, given: str, size_bytes: int) -> _Found:
    """Describe a regular file, and whether it may be read."""
    problem = "" if os.access(path, os.R_OK) else "permission denied; check who may read it"
    return _Found(_shown(name), _shown(given), path, size_bytes, problem)


def _shown(name: str) -> str:
    """A file name as text: bytes that are no UTF-8 are replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
