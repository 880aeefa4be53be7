"""The documentation says what the code does. Run as a script, it writes shown outputs anew."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import shlex
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from pydantic import SecretStr
from typer.main import get_command

from heisenberg.analysis.normalize import MASKS, normalize
from heisenberg.backend.analyze_schemas import AnalyzeRequest
from heisenberg.backend.app import create_app
from heisenberg.backend.auth import Refusal
from heisenberg.backend.config import Settings, load_settings
from heisenberg.cli import app
from heisenberg.cli.analyze import FailOn
from heisenberg.delivery.json_report import to_document
from heisenberg.diagnosis.rules import RULES
from heisenberg.diagnosis.rules.readings import READINGS
from heisenberg.evaluation.cases import Truth
from heisenberg.model.diagnosis import Mechanism, Owner, State, Symptom
from heisenberg.model.report import SCHEMA
from heisenberg.model.run import Artefact
from heisenberg.readers import registry
from heisenberg.readers.logs import sniff
from heisenberg.readers.logs.dialect import Dialect
from heisenberg.readers.logs.envelope import PEELERS
from heisenberg.readers.logs.roles import ROLES
from heisenberg.readers.logs.times import make_forms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

    from pydantic.fields import FieldInfo

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
REFERENCE = DOCS / "reference"
PLAIN = {"COLUMNS": "100", "NO_COLOR": "1"}
"""How the outputs shown in the documentation are printed."""

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_COMMAND = re.compile(r"\bheisenberg (?P<rest>(?:(?:analyze|eval|redact|serve|db|org|key)\b|-).*)")
_CODE = re.compile(r"`([^`]+)`")


class Command(NamedTuple):
    """A command that a page shows, and where."""

    page: str
    arguments: tuple[str, ...]


def read(page: Path) -> str:
    """The text of a page."""
    return page.read_text(encoding="utf-8")


def section(page: Path, heading: str) -> str:
    """The text under a heading, as far as the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", read(page), re.MULTILINE)
    assert found, f"{page.name}: no heading {heading!r}"
    rest = read(page)[found.end() :]
    return re.split(rf"^#{{1,{len(found[1])}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(markdown: str) -> list[list[str]]:
    """The cells of all table rows, without those of headings."""
    lines = [line.strip() for line in markdown.splitlines() if line.strip().startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0].startswith("`")]


def names(markdown: str) -> list[str]:
    """What the first column of the tables names."""
    return [row[0].strip("`") for row in rows(markdown)]


def samples(heading: str) -> dict[str, str]:
    """The example under each heading below a heading of the log formats."""
    parts = re.split(r"^### ", section(REFERENCE / "log-formats.md", heading), flags=re.MULTILINE)
    found = {}
    for part in parts[1:]:
        fence = _FENCE.search(part)
        assert fence, part
        found[part.partition("\n")[0]] = fence["body"]
    return found


def commands() -> Iterator[Command]:
    """Every command line of ours in a fenced block of any page."""
    for page in PAGES:
        for fence in _FENCE.finditer(read(page)):
            lines = fence["body"].replace("\\\n", " ").splitlines()
            # Of a console block only the first line is a command, what follows is printed by it.
            for line in lines[:1] if fence["language"] == "console" else lines:
                if found := _COMMAND.search(line):
                    yield Command(page.name, _arguments(found["rest"]))


def _arguments(rest: str) -> tuple[str, ...]:
    """The words of one command, as far as the shell gives them to it."""
    return tuple(shlex.split(re.split(r"\s(?:\||&&|>|2>|;)", rest)[0]))


COMMANDS = sorted(set(commands()))


def printed(arguments: tuple[str, ...]) -> str:
    """What the command prints on stdout in the working folder; it must exit 0."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(stream):
        code = app.run(list(arguments))
        stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    assert code == 0, arguments
    return stream.buffer.getvalue().decode("utf-8")


def with_outputs(page: str) -> str:
    """The page with what each `$` command of its console blocks really prints."""

    def renew(fence: re.Match[str]) -> str:
        if fence["language"] != "console":
            return fence.group()
        shown = fence["body"].partition("\n")[0]
        found = _COMMAND.search(shown)
        assert found, shown
        return f"```console\n{shown}\n{printed(_arguments(found['rest']))}```"

    return _FENCE.sub(renew, page)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = _HEADING.findall(_FENCE.sub("", read(page)))
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the examples to run commands in, printing as the pages show it."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for name, value in PLAIN.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that exists, and a heading in it where it names one."""
    links = [link for link in _LINK.findall(_FENCE.sub("", read(page))) if "://" not in link]

    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize(
    "page", [p for p in PAGES if "```console" in read(p)], ids=lambda p: p.stem
)
@pytest.mark.usefixtures("checkout")
def test_shown_outputs_are_true(page: Path) -> None:
    """A console block is what its command prints; `uv run python tests/test_docs.py` renews it."""
    assert with_outputs(read(page)) == read(page)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: f"{c.page}: {' '.join(c.arguments)}")
def test_shown_commands_parse(command: Command) -> None:
    """Every command line in the documentation is one that the command takes."""
    group = get_command(app.app)
    if command.arguments[0].startswith("-"):
        assert {command.arguments[0]} <= {o for p in group.get_params(_context()) for o in p.opts}
        return

    one: Any = group
    name, rest = "heisenberg", list(command.arguments)
    while hasattr(one, "commands") and rest and not rest[0].startswith("-"):
        name, *rest = rest
        one = one.commands[name]
    assert one.make_context(name, rest, resilient_parsing="--help" in rest)


def _context() -> Any:
    """A context of the whole command."""
    return get_command(app.app).make_context("heisenberg", [], resilient_parsing=True)


@pytest.mark.parametrize(
    "command",
    [c for c in COMMANDS if any("examples/" in a for a in c.arguments)],
    ids=lambda c: f"{c.page}: {' '.join(c.arguments)}",
)
def test_shown_commands_on_the_examples_run(command: Command, checkout: Path) -> None:
    """A command on the examples exits 0 and writes what it was asked for."""
    said = printed(command.arguments)

    written = [
        a for o, a in zip(command.arguments, command.arguments[1:], strict=False) if o == "--output"
    ]
    assert said or all((checkout / name).stat().st_size for name in written)


def test_every_command_is_described() -> None:
    """The reference shows the help of the whole and of every command."""
    wanted = {f"{path} --help".strip() for path in _command_paths(get_command(app.app))}

    shown = {" ".join(c.arguments) for c in COMMANDS if c.page == "cli.md"}
    assert wanted == shown


def _command_paths(command: Any, path: str = "") -> Iterator[str]:
    """The whole command, its groups and their commands."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from _command_paths(inner, f"{path} {name}".strip())


def test_every_setting_is_described() -> None:
    """The table has every setting in order, with its default and what it means."""
    told = rows(read(REFERENCE / "settings.md"))

    wanted = [
        (f"`HEISENBERG_{name.upper()}`", _default(name, field), str(field.description))
        for name, field in Settings.model_fields.items()
    ]
    assert wanted == [tuple(row) for row in told]


def _default(name: str, field: FieldInfo) -> str:
    """A default as the table shows it."""
    if name == "data_dir":
        return "`$XDG_DATA_HOME/heisenberg`, else `~/.local/share/heisenberg`"
    if name == "analysis_workers":
        return "processors, 4 at most"
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == ():
        return "unset"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_every_route_is_described(tmp_path: Path) -> None:
    """The table of routes is that of the OpenAPI document, with whether a key is needed."""
    paths = create_app(load_settings(data_dir=tmp_path, _env_file=None)).openapi()["paths"]
    wanted = [
        [f"`{method.upper()} {path}`", "yes" if one.get("security") else "no", one["summary"]]
        for path, methods in paths.items()
        for method, one in methods.items()
    ]

    assert wanted == rows(section(REFERENCE / "http-api.md", "Routes"))


def test_every_problem_is_described() -> None:
    """The table of problems has each that the service answers with, and no other."""
    calls = [
        call
        for path in (ROOT / "src" / "heisenberg" / "backend").rglob("*.py")
        for call in ast.walk(ast.parse(read(path)))
        if isinstance(call, ast.Call) and len(call.args) > 1
    ]
    raised = {
        name.value
        for call in calls
        if ast.unparse(call.func) in {"ProblemError", "self._refuse"}
        if isinstance(name := call.args[1], ast.Constant)
    }
    composed = {f"{refusal.value}-api-key" for refusal in Refusal}
    composed |= {"analysis-overloaded", "analysis-unavailable", "not-found"}

    assert raised | composed == set(names(section(REFERENCE / "http-api.md", "Problems")))


def test_the_request_shown_is_one() -> None:
    """The body that the how-to sends is what the service takes."""
    (body,) = [
        f["body"]
        for f in _FENCE.finditer(read(DOCS / "how-to" / "run-for-a-team.md"))
        if f["language"] == "json"
    ]

    assert AnalyzeRequest.model_validate_json(body).failed_tests


def test_every_exit_code_is_described() -> None:
    """The table of exit codes has those of the command, and no other."""
    assert [str(c) for c in (0, 1, app.USAGE, app.INTERRUPTED)] == names(
        section(REFERENCE / "cli.md", "Exit codes")
    )


def test_every_fail_on_is_described() -> None:
    """The how-to for CI says of each value of `--fail-on` when it exits 1."""
    told = names(section(DOCS / "how-to" / "ci.md", "Exit code"))

    assert sorted(f"--fail-on {value}" for value in FailOn) == sorted(told)


def test_every_report_format_is_described() -> None:
    """Each reader has a row and a section; what is recognised and refused is listed."""
    page = REFERENCE / "report-formats.md"
    others = {*registry._OTHER_XML.values(), *(other for _, other in registry._OTHER_JSON)}

    assert sorted(registry.FORMATS) == sorted(names(read(page)))
    assert all(section(page, name).strip() for name in registry.FORMATS)
    refused = " ".join(section(page, "What is recognised and not read").split())
    assert {o for o in others if o not in refused} == set()


@pytest.mark.parametrize("name", samples("Syntax"))
def test_every_log_syntax_is_as_shown(name: str, tmp_path: Path) -> None:
    """The example of a syntax is told to be of that syntax."""
    assert name == _format(samples("Syntax")[name], tmp_path)


@pytest.mark.parametrize("name", samples("Envelope"))
def test_every_log_envelope_is_as_shown(name: str, tmp_path: Path) -> None:
    """The example of an envelope is told to come in that envelope."""
    assert name == _format(samples("Envelope")[name], tmp_path).partition("+")[0]


def test_every_log_format_is_described() -> None:
    """Envelopes, syntaxes and forms of time are those that the readers know."""
    known = {c for c in Dialect._find_syntax.__code__.co_consts if isinstance(c, str)}
    forms = dict.fromkeys(f.name.removesuffix("-late") for f in make_forms(datetime.now(UTC)))

    assert list(PEELERS) == list(samples("Envelope"))
    assert {c for c in known if c.isalpha()} | {"console"} == set(samples("Syntax"))
    assert list(forms) == names(section(REFERENCE / "log-formats.md", "Times"))


def _format(lines: str, folder: Path) -> str:
    path = folder / "example.log"
    path.write_text(lines, encoding="utf-8")
    return sniff(Artefact("example.log", path, path.stat().st_size)) or ""


@pytest.mark.parametrize(
    ("form", "example"),
    [
        (row[0].strip("`"), example)
        for row in rows(section(REFERENCE / "log-formats.md", "Times"))
        for example in _CODE.findall(row[1])
    ],
)
def test_every_form_of_time_is_as_shown(form: str, example: str) -> None:
    """The example of a form of time is read by that form, to its end."""
    (reader,) = [f for f in make_forms(datetime.now(UTC)) if f.name == form]
    line = f"{example} ready" if form != "day-month" else f"{example}] ready"

    stamp = reader.read(line)

    assert stamp is not None
    assert line[stamp.end :].strip("] ") == "ready"


@pytest.mark.parametrize(
    "row", rows(section(REFERENCE / "log-formats.md", "Keys")), ids=lambda r: r[0]
)
def test_every_key_plays_the_part_told(row: list[str]) -> None:
    """Each key of a structured log fills the part of the record that the table says."""
    part = row[0].strip("`")

    assert {part} == {ROLES[key].slot.name.lower() for key in _CODE.findall(row[1])}


def test_every_mask_is_described_in_order() -> None:
    """The table of masks is the list that is applied, reasons included, and examples are masked."""
    told = rows(read(REFERENCE / "masks.md"))

    assert [(m.name, m.reason) for m in MASKS] == [(row[0].strip("`"), row[2]) for row in told]
    assert [f"<{m.name}>" for m in MASKS] == [normalize(row[1].strip("`")) for row in told]


def test_every_rule_is_described() -> None:
    """The tables of rules name every rule in the registry once, and no other."""
    page = read(REFERENCE / "rules.md").partition("\n## Readings")[0]
    wanted = [f"{r.__module__.rpartition('.')[2]}.{r.__name__}" for r in RULES]

    assert sorted(wanted) == sorted(names(page))


def test_every_reading_is_described() -> None:
    """The table of readings is the list that is applied, in its order."""
    told = rows(section(REFERENCE / "rules.md", "Readings"))

    wanted = [(r.trouble.value, r.owner.value, (r.mechanism or r.trouble).value) for r in READINGS]
    assert wanted == [tuple(row[i].strip("`") for i in (0, 2, 3)) for row in told]


@pytest.mark.parametrize("words", [State, Owner, Mechanism, Symptom], ids=lambda w: w.__name__)
def test_the_vocabulary_is_described(words: type[StrEnum]) -> None:
    """The table of each vocabulary has every value, in order, and no other."""
    page = REFERENCE / "analysis-document.md"

    assert [word.value for word in words] == names(section(page, words.__name__))


def test_every_field_of_the_document_is_described() -> None:
    """The table of fields is what the JSON holds, in its order."""
    page = REFERENCE / "analysis-document.md"
    # Imported here so that this file also runs as a script, from anywhere.
    from delivery_samples import a_report  # noqa: PLC0415

    report = a_report()
    asked = tuple(  # of a model, whose diagnoses have a field more
        replace(incident, diagnosis=replace(incident.diagnosis, prompt="diagnosis-1"))
        for incident in report.incidents
    )
    document = to_document(replace(report, incidents=asked))

    assert list(dict.fromkeys(_paths(document))) == names(section(page, "Fields"))
    assert SCHEMA in read(page)


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Paths of all values that hold no others."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner, f"{path}[]")
    else:
        yield path


def test_the_label_shown_is_one() -> None:
    """The truth.json that the how-to shows is read as a truth."""
    (label,) = [
        f["body"]
        for f in _FENCE.finditer(read(DOCS / "how-to" / "eval.md"))
        if f["language"] == "json"
    ]

    truth = msgspec.json.decode(label, type=Truth)

    assert {test for i in truth.incidents for test in i.tests} == set(truth.outcomes)


if __name__ == "__main__":
    os.environ |= PLAIN
    os.chdir(ROOT)
    for page in PAGES:
        page.write_text(with_outputs(read(page)), encoding="utf-8")
