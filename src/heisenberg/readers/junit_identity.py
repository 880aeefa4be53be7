"""Say which test a JUnit test case is: every producer fills the same few attributes its own way."""

from __future__ import annotations

import re
from functools import lru_cache

_SOURCE_FILE = re.compile(
    r"[^\s:]*[\w)\]]\.(?:[cm]?[jt]sx?|py|rb|php|phpt|go|cs|java|kt|kts|scala|rs|c|cc|cpp|cxx|h|hpp|m|"
    r"mm|swift|dart|ex|exs|erl|feature|t|bats|sh|ps1|lua|pl|vue|svelte|robot|md|html|css)"
)
"""A name that is a path to source code."""

_SAYS_NOTHING = frozenset(
    {
        *("", "pytest", "nosetests", "testsuite", "test suite", "test-suite", "tests", "test"),
        *("default", "default suite", "root suite", "mocha tests", "jest tests", "vitest tests"),
        *("rspec", "alltests", "all tests", "undefined", "unnamed", "testresults", "results"),
        *("behave", "(empty)", "junit", "suite", "gotest", "go test", "none", "null"),
    }
)
"""Names of suites, in lower case, that tools give when nobody gave one."""

UNNAMED = "(unnamed test)"


def identify(
    suites: tuple[str, ...], classname: str, name: str, file: str
) -> tuple[str, tuple[str, ...]]:
    """Derive a test's file and title path.

    Args:
        suites: Names of the enclosing `testsuite` elements, outermost first.
        classname: Of the test case; empty when it has none.
        name: Of the test case; may be empty.
        file: File attribute of the case or of the suite around it; empty when there is none.

    Returns:
        The file, with forward slashes, and the title path, never empty. The enclosing suites count
        only where the case itself does not say where it belongs.
    """
    file, above, below = _surroundings(suites, classname, file)
    if below is None:
        parts = tuple(part for part in re.split(r" [›>] ", name) if part)
        return file, parts or (name or UNNAMED,)
    if not classname:
        return file, (*above, name) if name else above or (UNNAMED,)
    if not name:
        return file, (classname,)
    if not below or _repeats(below, name):
        return file, tuple(part for part in name.split(" › ") if part) or (name,)
    return file, (below, name)


@lru_cache(maxsize=1024)
def _surroundings(
    suites: tuple[str, ...], classname: str, file: str
) -> tuple[str, tuple[str, ...], str | None]:
    """What cases of one class share.

    Returns:
        The file; the suites that say something; the class as far as the file does not name it, or
        None when the class is the file.
    """
    file = file.replace("\\", "/").removeprefix("./")
    if _is_file(classname):
        return file or classname.replace("\\", "/"), (), None
    if not file:
        file = next((s.replace("\\", "/") for s in reversed(suites) if _is_file(s)), "")
    if not classname:
        above = tuple(s for s in suites if s.lower() not in _SAYS_NOTHING and not _is_file(s))
        return file, above, ""
    if not file and "pytest" in suites:
        file = _python_file(classname)
    return file, (), _below_module(classname, file) if file else classname


def _is_file(name: str) -> bool:
    """Whether a suite or class is named by the file it is in."""
    return "." in name and _SOURCE_FILE.fullmatch(name) is not None


def _python_file(classname: str) -> str:
    """File of `package.module.Class`, as pytest writes it: classes begin with a capital."""
    parts = classname.split(".")
    module = [part for part in parts if part[:1].islower() or part[:1] == "_"]
    if module != parts[: len(module)] or not module:
        return ""
    return "/".join(module) + ".py"


def _below_module(classname: str, file: str) -> str:
    """The part of a dotted class name that the file does not say already."""
    module = file.rpartition(".")[0].strip("/").replace("/", ".")
    if module == classname or (module and module.endswith(f".{classname}")):
        return ""
    return classname.removeprefix(f"{module}.") if module else classname


def _repeats(classname: str, name: str) -> bool:
    """Whether the name says already what the class name says (jest, mocha)."""
    if name == classname:
        return True
    if name.startswith(classname):
        return not name[len(classname)].isalnum()
    return name.endswith(classname) and not name[-len(classname) - 1].isalnum()
