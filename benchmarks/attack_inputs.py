"""Bad input for `attack.py`: each function writes one and says what is to come of it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

START = datetime(2026, 3, 4, 12, tzinfo=UTC)
Document = dict[str, Any]
Container = dict[Any, Any] | list[Any]
GB = 1 << 30
MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Call:
    """How to call the command on an input, and what is expected."""

    arguments: Iterable[str | Path]
    codes: tuple[int, ...] = (0,)
    says: tuple[str, ...] = ()
    """Must stand in stdout or stderr."""
    check: Callable[[Any], list[str]] | None = None
    """Names faults of the JSON document, or of the text when it is none."""
    limit_s: float = 5.0
    limit_mb: int = 150
    stdin: str = "/dev/null"
    stdout: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    disturb: Callable[[Path, subprocess.Popen[bytes]], None] | None = None


ATTACKS: dict[str, Callable[[Path], Call]] = {}
"""By name, in the order in which they are run."""


def attack(name: str) -> Callable[[Callable[[Path], Call]], Callable[[Path], Call]]:
    """Register an attack."""

    def register(make: Callable[[Path], Call]) -> Callable[[Path], Call]:
        ATTACKS[name] = make
        return make

    return register


def result(
    title: str = "pays", *, message: str = "Error: boom", seconds: float = 0.0, **changes: object
) -> dict[str, Any]:
    """A failed spec of a Playwright report."""
    return {
        "title": title,
        "file": "a.spec.ts",
        "line": 3,
        "tests": [
            {
                "projectName": "chromium",
                "status": "unexpected",
                "expectedStatus": "passed",
                "results": [
                    {
                        "status": "failed",
                        "retry": 0,
                        "duration": 1000,
                        "startTime": stamp(seconds),
                        "errors": [{"message": message}],
                        **changes,
                    }
                ],
            }
        ],
    }


def report(*specs: dict[str, Any]) -> dict[str, Any]:
    """A Playwright report with these specs."""
    suite = {"title": "a.spec.ts", "file": "a.spec.ts", "specs": list(specs or (result(),))}
    return {"config": {"version": "1.58.2"}, "suites": [suite], "errors": []}


def stamp(seconds: float) -> str:
    """ISO time after the start of the run."""
    return (START + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")[:-6] + "Z"


def write(path: Path, content: str | bytes | dict[str, Any]) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps(content, ensure_ascii=False)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def good(folder: Path, name: str = "good.json") -> Path:
    """A report that can be read, beside the bad ones."""
    return write(folder / name, report())


LOG = [
    f"{stamp(0.1)} INFO shop: request started",
    f"{stamp(0.5)} ERROR shop: cannot load café ‹naïve› — Ünïcode",
    "Traceback (most recent call last):",
    '  File "/srv/app/menu.py", line 7, in load',
    "KeyError: 'crème brûlée'",
    f"{stamp(0.9)} INFO shop: request finished",
]


def cites(*quotes: str) -> Callable[[Any], list[str]]:
    """A check that the evidence holds each of these words."""

    def check(document: Document) -> list[str]:
        evidence = [e["quote"] for i in document["incidents"] for e in i["diagnosis"]["evidence"]]
        return [f"does not cite {q}" for q in quotes if not any(q in e for e in evidence)]

    return check


def has(failed: int, problems: int | None = None) -> Callable[[Any], list[str]]:
    """A check of the number of failed tests, and of problems."""

    def check(document: Document) -> list[str]:
        faults = []
        if document["run"]["failed"] != failed:
            faults.append(f"{document['run']['failed']} failed, not {failed}")
        if problems is not None and len(document["problems"]) != problems:
            faults.append(f"{len(document['problems'])} problems, not {problems}")
        return faults

    return check


JSON = ("--format", "json")


def refused(content: bytes, *says: str, name: str = "report") -> Callable[[Path], Call]:
    """A file that on its own gets exit code 2."""

    def make(folder: Path) -> Call:
        return Call([write(folder / name, content)], codes=(2,), says=says)

    return make


def beside(content: bytes, name: str = "bad.json") -> Callable[[Path], Call]:
    """The same file in a folder, beside a good report."""

    def make(folder: Path) -> Call:
        write(folder / "in" / name, content)
        good(folder / "in")
        return Call([folder / "in", *JSON], says=(name,), check=has(1, 1))

    return make


FULL = json.dumps(report()).encode()
JUNIT = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites><testsuite name="s" timestamp="2026-03-04T12:00:00">'
    '<testcase name="café crème" classname="s" time="1"><failure message="Error: no café — ‹naïve›">'
    "Error: no café — ‹naïve›\n  at s.spec.ts:3</failure></testcase></testsuite></testsuites>\n"
)

# Nothing there, or nothing of ours.


@attack("no such path")
def _missing(folder: Path) -> Call:
    return Call([folder / "nowhere"], codes=(2,), says=("no such file",))


@attack("no arguments")
def _no_arguments(_: Path) -> Call:
    return Call([], codes=(2,))


@attack("empty folder")
def _empty_folder(folder: Path) -> Call:
    (folder / "in").mkdir()
    return Call([folder / "in"], codes=(2,), says=("no test report found",))


@attack("folder of other things")
def _others(folder: Path) -> Call:
    write(folder / "in" / "package.json", b'{"name": "x", "version": "1"}')
    write(folder / "in" / "a.png", b"\x89PNG\r\n\x1a\n\0\0")
    write(folder / "in" / "b.log", "\n".join(LOG))
    return Call([folder / "in"], codes=(2,), says=("no test report found",))


for title, content, word in (
    ("empty file", b"", "empty"),
    ("blanks only", b" \n\t\n" * 999, "empty"),
    ("random bytes", bytes(i * 7919 % 251 for i in range(9999)), ""),
    ("an ELF binary", b"\x7fELF" + bytes(9999), "binary"),
    ("a gzip", b"\x1f\x8b\x08\0" + bytes(range(256)) * 9, ""),
    ("truncated JSON", FULL[:-40], "ends early"),
    ("JSON with a comma too many", FULL[:-1] + b",}", "invalid JSON"),
    ("JSON after JSON", FULL + FULL, "JSON"),
    ("a BOM and no more", b"\xef\xbb\xbf", "empty"),
    ("truncated XML", JUNIT.encode()[:-60], ""),
    ("half a UTF-16 file", JUNIT.encode("utf-16")[:-9], ""),
    ("a root that is no report", b"<a/>", "another kind"),
    ("XML of two roots", JUNIT.encode() + b"<testsuites/>", ""),
    ("XML without an end in its prolog", b"<!--" + b"x" * 999_999, "root"),
    ("a lone <", b"<", ""),
    ("a lone {", b"{", ""),
):
    ATTACKS[title] = refused(content, *([word] if word else []))
for title, content in (
    ("truncated JSON beside a report", FULL[:-40]),
    ("truncated XML beside a report", JUNIT.encode()[:-60]),
):
    ATTACKS[title] = beside(content)

# Encodings: the report is read and the evidence found, whatever they are.


def encoded(name: str, data: bytes, *quotes: str) -> None:
    """A report in an encoding: its evidence must be found."""

    def make(folder: Path) -> Call:
        return Call([write(folder / "r", data), *JSON], check=cites(*quotes))

    ATTACKS[name] = make


WESTERN = JUNIT.replace("‹", "«").replace("›", "»").replace("—", "-")
EASTERN = JUNIT.replace("café", "кафе").replace("crème", "крем").replace("naïve", "да")
JAPANESE = JUNIT.replace("café", "喫茶店").replace("crème", "表示").replace("naïve", "能")
encoded("JUnit with a BOM", b"\xef\xbb\xbf" + JUNIT.encode(), "no café — ‹naïve›")
encoded("JUnit in UTF-16", JUNIT.replace("UTF-8", "UTF-16").encode("utf-16"), "no café — ‹naïve›")
encoded(
    "JUnit in UTF-16, big-endian",
    b"\xfe\xff" + JUNIT.replace("UTF-8", "UTF-16").encode("utf-16-be"),
    "no café — ‹naïve›",
)
for codec in ("ISO-8859-1", "windows-1252"):
    encoded(f"JUnit in {codec}", WESTERN.replace("UTF-8", codec).encode(codec), "no café - «naïve»")
encoded(
    "JUnit in windows-1251",
    EASTERN.replace("UTF-8", "windows-1251").encode("windows-1251"),
    "no кафе — ‹да›",
)
encoded(
    "JUnit in Shift_JIS",
    JAPANESE.replace("‹", "「").replace("›", "」").replace("—", "-")
    .replace("UTF-8", "Shift_JIS").encode("shift_jis"),
    "no 喫茶店 - 「能」",
)  # fmt: skip
encoded("JUnit that says UTF-8 and is Latin-1", WESTERN.encode("latin-1"), "Error: no caf")
encoded(
    "JUnit with character references",
    JUNIT.encode("ascii", "xmlcharrefreplace"),
    "no café — ‹naïve›",
)
CAFE = report(result(message="Error: no café — ‹naïve› 🍰 \u001b[31mred\u001b[39m"))
for codec in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
    encoded(
        f"Playwright JSON in {codec}",
        json.dumps(CAFE, ensure_ascii=False, indent=1).encode(codec),
        "no café — ‹naïve› 🍰 red",
    )
encoded("Playwright JSON, escaped", json.dumps(CAFE).encode(), "no café — ‹naïve› 🍰 red")
encoded(
    "Playwright JSON in Latin-1",
    json.dumps(report(result(message="Error: no café")), ensure_ascii=False).encode("latin-1"),
    "Error: no caf",
)
encoded(
    "Playwright JSON with half a character",
    json.dumps(report(result(message="Error: no \ud83c cake"))).encode(),
    "Error: no",
)


def log_in(codec: str, quote: str = "crème brûlée", name: str = "") -> None:
    """A log in an encoding: the error in it must be cited."""

    def make(folder: Path) -> Call:
        text = "\r\n".join(LOG * 1)
        write(folder / "logs" / "shop.log", text.encode(codec, "replace"))
        return Call([good(folder), "--logs", folder / "logs", *JSON], check=cites(quote))

    ATTACKS[name or f"log in {codec}"] = make


for codec in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"):
    log_in(codec)


@attack("JSON log in Latin-1")
def _latin_json_log(folder: Path) -> Call:
    line = {"time": stamp(0.5), "level": "error", "msg": "KeyError: 'crème'", "logger": "shop"}
    text = json.dumps(line, ensure_ascii=False) + "\n"
    write(folder / "logs" / "shop.log", (text * 3).encode("latin-1"))
    return Call([good(folder), "--logs", folder / "logs", *JSON], check=cites("crème"))


# XML at its worst.


@attack("entity bomb")
def _bomb(folder: Path) -> Call:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    text = JUNIT.split("\n", 1)[1].replace("Error: no", "&l11; Error: no")
    write(folder / "r.xml", f'<!DOCTYPE x [<!ENTITY l0 "lol">{entities}]>{text}')
    return Call([folder / "r.xml", *JSON], codes=(0, 2))


@attack("external entity")
def _external(folder: Path) -> Call:
    secret = write(folder / "secret", b"hunter2-hunter2")
    text = JUNIT.split("\n", 1)[1].replace("Error: no", "&x; Error: no")
    write(folder / "r.xml", f'<!DOCTYPE x [<!ENTITY x SYSTEM "file://{secret}">]>{text}')
    check = lambda d: ["read the entity"] if "hunter2" in json.dumps(d) else []  # noqa: E731
    return Call([folder / "r.xml", *JSON], codes=(0, 2), check=check)


@attack("external DTD that is a FIFO")
def _dtd(folder: Path) -> Call:
    os.mkfifo(folder / "fifo")
    text = JUNIT.split("\n", 1)[1]
    write(folder / "r.xml", f'<!DOCTYPE testsuites SYSTEM "file://{folder}/fifo">{text}')
    return Call([folder / "r.xml", *JSON], codes=(0, 2))


@attack("invalid XML characters")
def _invalid_characters(folder: Path) -> Call:
    text = JUNIT.replace("no café", "no \x00\x08\x1b[31mcafé\x1b[0m &#0; &#x1B; &#xFFFF; & <b>")
    return Call([write(folder / "r.xml", text), *JSON], codes=(0, 2))


@attack("XML nested 100,000 deep")
def _deep_xml(folder: Path) -> Call:
    text = "<testsuite>" * 100_000 + '<testcase name="a"/>' + "</testsuite>" * 100_000
    return Call([write(folder / "r.xml", text), *JSON], codes=(2,))


@attack("100,000 attributes")
def _attributes(folder: Path) -> Call:
    names = " ".join(f'a{i}="{i}"' for i in range(100_000))
    text = f'<testsuite {names}><testcase name="a"><failure>x</failure></testcase></testsuite>'
    return Call([write(folder / "r.xml", text), *JSON], codes=(0, 2))


@attack("attribute of 100 MB")
def _long_attribute(folder: Path) -> Call:
    with (folder / "r.xml").open("w") as file:
        file.write('<testsuite><testcase name="a"><failure message="')
        for _ in range(100):
            file.write("x y " * (MB // 4))
        file.write('">x</failure></testcase></testsuite>')
    return Call([folder / "r.xml", *JSON], codes=(0, 2), limit_mb=1000, limit_s=10)


@attack("text of 100 MB in an element")
def _long_text(folder: Path) -> Call:
    with (folder / "r.xml").open("w") as file:
        file.write('<testsuite><testcase name="a"><failure message="m">')
        for _ in range(100):
            file.write("at some.where(line)\n" * (MB // 20))
        file.write("</failure></testcase></testsuite>")
    return Call([folder / "r.xml", *JSON], codes=(0, 2), limit_mb=1000, limit_s=10)


# JSON at its worst.


@attack("JSON nested 100,000 deep")
def _deep_json(folder: Path) -> Call:
    text = '{"suites": ' + '[{"suites": ' * 100_000 + "[]" + "}]" * 100_000 + "}"
    return Call([write(folder / "r.json", text)], codes=(2,), says=("nested",))


@attack("JSON nested deep in a field nobody reads")
def _deep_field(folder: Path) -> Call:
    text = FULL.decode()[:-1] + ', "x": ' + "[" * 100_000 + "]" * 100_000 + "}"
    return Call([write(folder / "r.json", text), *JSON], codes=(0, 2))


@attack("JSON suites nested 900 deep")
def _nested_suites(folder: Path) -> Call:
    suite = report()["suites"][0]
    for level in range(300):
        suite = {"title": f"s{level}", "suites": [suite], "specs": []}
    text = json.dumps({"config": {}, "suites": [suite], "errors": []})
    return Call([write(folder / "r.json", text), *JSON], codes=(0, 2))


@attack("minified JSON of 100 MB on one line")
def _long_line_report(folder: Path) -> Call:
    head, tail = json.dumps(report()).split('"specs": [')
    spec = (
        json.dumps(result()).replace('"failed"', '"passed"').replace('"unexpected"', '"expected"')
    )
    spec = spec.replace('{"message": "Error: boom"}', "")
    with (folder / "r.json").open("w") as file:
        file.write(head + '"specs": [')
        size, number = 0, 0
        while size < 100 * MB:
            text = spec.replace("pays", f"passes {number}") + ","
            size, number = size + len(text), number + 1
            file.write(text)
        file.write(tail)
    return Call([folder / "r.json", *JSON], check=has(1), limit_s=20, limit_mb=500)


@attack("message of 100 MB in JSON")
def _long_message(folder: Path) -> Call:
    head, tail = json.dumps(report()).split("Error: boom")
    with (folder / "r.json").open("w") as file:
        file.write(head + "Error: boom ")
        for _ in range(100):
            file.write("word " * (MB // 5))
        file.write(tail)
    return Call([folder / "r.json", *JSON], limit_s=20, limit_mb=700)


WRONG: tuple[Any, ...] = (
    None,
    True,
    7,
    -1,
    1.5,
    1e308,
    10**30,
    "",
    "x",
    [],
    {},
    [[]],
    [{}],
    [None],
)


@attack("wrong types in every place")
def _wrong_types(folder: Path) -> Call:
    """One report a place and a value; all of them in one folder."""
    number = 0
    for path in _paths(report(result(steps=[{"title": "s", "duration": 3, "error": {}}]))):
        for wrong in WRONG:
            changed = report(result(steps=[{"title": "s", "duration": 3, "error": {}}]))
            _put(changed, path, wrong)
            write(folder / "in" / f"{number}.json", changed)
            number += 1
    good(folder / "in")
    return Call([folder / "in", *JSON], limit_s=20)


def _paths(value: Container, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield (*above, key)
        if isinstance(inner, dict | list):
            yield from _paths(inner, (*above, key))


def _put(value: Container, path: tuple[Any, ...], new: object) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


ODD_CHANGES: dict[str, dict[str, Any]] = {
    "NaN and Infinity": {"duration": float("nan"), "retry": float("inf")},
    "huge numbers": {"duration": 1e300, "retry": 10**25, "workerIndex": -(10**25)},
    "duration of 10^15 ms": {"duration": 10**15},
    "negative durations": {"duration": -5_000_000},
    "start in year 1": {"startTime": "0001-01-01T00:00:00.000Z"},
    "start in year 1, east": {"startTime": "0001-01-01T00:00:00.000+14:00"},
    "start in year 9999": {"startTime": "9999-12-31T23:59:59.999Z"},
    "start in the future": {"startTime": "2150-01-01T00:00:00.000Z"},
    "start that is no time": {"startTime": "2026-13-45T99:99:99Z"},
}
for title, changes in ODD_CHANGES.items():

    def _odd(folder: Path, changes: dict[str, Any] = changes) -> Call:
        write(folder / "in" / "r.json", report(result(**changes)))
        write(folder / "in" / "shop.log", "\n".join(LOG))
        return Call([folder / "in", *JSON], codes=(0, 2))

    ATTACKS[title] = _odd


@attack("tests in year 1 and in year 9999")
def _far_apart(folder: Path) -> Call:
    early = result("early", startTime="0001-01-01T00:00:00.000Z")
    late = result("late", startTime="9999-12-31T23:59:59.999Z")
    write(folder / "in" / "r.json", report(early, result(), late))
    write(folder / "in" / "shop.log", "\n".join(LOG))
    return Call([folder / "in", *JSON], check=has(3))


@attack("logs in year 1 and in year 9999")
def _far_logs(folder: Path) -> Call:
    for year in ("0001-01-01", "9999-12-31"):
        text = "\n".join(LOG).replace("2026-03-04", year)
        write(folder / "in" / f"{year}.log", text)
    lines = [*LOG, *(line.replace("2026-03-04", "9999-12-31") for line in LOG)]
    lines += [line.replace("2026-03-04", "0001-01-01") for line in LOG]
    write(folder / "in" / "both.log", "\n".join(lines))
    good(folder / "in")
    return Call([folder / "in", *JSON], check=has(1))


@attack("JUnit with impossible numbers and times")
def _odd_junit(folder: Path) -> Call:
    cases = "".join(
        f'<testcase name="{n}" classname="c" time="{t}"><failure message="m">m</failure></testcase>'
        for n, t in enumerate(("NaN", "inf", "-1e300", "1e300", "1,5", "x", "", "9" * 400))
    )
    stamps = ("9999-12-31T23:59:59", "0001-01-01T00:00:00+14:00", "x", "-1", "99999999999999999")
    for number, when in enumerate(stamps):
        text = (
            f'<testsuite name="s{number}" timestamp="{when}" time="1e99" tests="-4" failures="x">'
        )
        write(folder / "in" / f"{number}.xml", f"{text}{cases}</testsuite>")
    write(folder / "in" / "shop.log", "\n".join(LOG))
    return Call([folder / "in", *JSON], check=has(8))


# Names.

HOSTILE_NAME = (
    "pays \x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \u202egnp.exe\u2066 <script>alert(1)</script>"
    " <img src=x onerror=y>\nsecond\r\nthird | `code` *bold* [link](javascript:x) @everyone #1"
    " ::error::x ]]> \u2028 \u0000 \U000e0041 [bold red]rich[/] &amp; \ud800"
)
for form in ("text", "json", "markdown", "sarif"):

    def _names(folder: Path, form: str = form) -> Call:
        spec = result(HOSTILE_NAME, message="Error: " + HOSTILE_NAME)
        spec["file"] = HOSTILE_NAME
        value = report(spec)
        value["suites"][0]["title"] = value["suites"][0]["file"] = HOSTILE_NAME
        write(folder / "in" / "r.json", json.dumps(value))
        log = HOSTILE_NAME.replace("\n", " ").replace("\r", " ").encode("utf-8", "replace")
        line = f"{stamp(0.5)} ERROR shop: KeyError: ".encode() + log + b"\n"
        write(folder / "in" / "lo\x1b[31mg <script>\u202e|`.log", line * 3)
        write(folder / "in" / "br\x1b[31mo\nken <img src=x>\u202e.json", FULL[:-9])
        arguments: list[str | Path] = [folder / "in", "--format", form]
        return Call(arguments, check=_safe_markdown if form == "markdown" else None)

    ATTACKS[f"hostile names, {form}"] = _names


def _safe_markdown(text: str) -> list[str]:
    """Code is shown as it is; outside it nothing may act."""
    prose = re.sub(r"(?ms)^(`{3,}).*?^\1|(`+).*?\2", "", text)
    hostile = ("](javascript:", "<script", "<img")
    return [f"passes on {word!r}" for word in hostile if word in prose]


@attack("titles of 1 MB")
def _long_titles(folder: Path) -> Call:
    specs = [result(f"{n} " + "long title " * (MB // 11), seconds=n) for n in range(5)]
    return Call([write(folder / "r.json", report(*specs)), *JSON], check=has(5), limit_mb=400)


@attack("titles of 1 MB without a blank, as text")
def _long_words(folder: Path) -> Call:
    specs = [result(f"{n}" + "é" * MB, message="x" * MB, seconds=n) for n in range(5)]
    return Call([write(folder / "r.json", report(*specs))], limit_mb=400)


@attack("empty titles and the same test 1,000 times")
def _same_ids(folder: Path) -> Call:
    specs = [result("", seconds=n) for n in range(500)] + [result(seconds=n) for n in range(500)]
    return Call([write(folder / "r.json", report(*specs)), *JSON])


for title, message in {
    "a MB of one letter": "a" * MB,
    "a MB of dots": "." * MB,
    "a MB of slashes": "/" * MB,
    "a MB of digits": "1" * MB,
    "a MB of hex": "deadbeef" * (MB // 8),
    "a MB of blanks": "Error: x" + " " * MB + "y",
    "a MB of newlines": "Error: x" + "\n" * MB + "y",
    "a MB of brackets": "(" * (MB // 2) + ")" * (MB // 2),
    "a MB of quotes": "\"'" * (MB // 2),
    "a MB of escapes": "\x1b[" * (MB // 2),
    "a MB of colons": "a:" * (MB // 2),
    "a MB of frames": "Error: x\n" + "    at f (/srv/a.ts:1:2)\n" * (MB // 25),
    "a MB of at": "Error: x\n" + "at " * (MB // 3),
    "a MB of URL": "http://" + "a." * (MB // 2),
    "a MB of base64": "QUJD" * (MB // 4) + "=",
    "a MB of expected": "Expected: Received: " * (MB // 20),
    "a MB of timeouts": "Timeout 5000ms exceeded. waiting for " * (MB // 37),
    "a MB of times": "2026-03-04T12:00:00 " * (MB // 20),
    "a MB of dashes": "a-" * (MB // 2),
    "a MB of JSON": '{"a": ' * (MB // 6),
    "a MB of tags": "<a " * (MB // 3),
    "a MB of causes": "Caused by: x: " * (MB // 14),
    "a MB of File lines": '  File "/a.py", line 7, in f\n' * (MB // 30),
    "a MB of backslashes": "\\" * MB,
    "a MB of emoji": "🍰" * (MB // 4),
    "a MB of combining marks": "e" + "\u0301" * (MB // 2),
}.items():

    def _regex(folder: Path, message: str = message) -> Call:
        specs = [result(f"t{n}", message=message, stack=message, seconds=n) for n in range(2)]
        write(folder / "in" / "r.json", report(*specs))
        line = message.replace("\n", " ")
        write(folder / "in" / "shop.log", f"{stamp(0.5)} ERROR x: {line}\n{stamp(0.8)} INFO y\n")
        cases = "".join(f'<testcase name="j{n}">{_cdata(message)}</testcase>' for n in range(2))
        write(folder / "in" / "r.xml", f"<testsuite>{cases}</testsuite>")
        return Call([folder / "in", *JSON], limit_s=10, limit_mb=400)

    ATTACKS[f"message: {title}"] = _regex


def _cdata(message: str) -> str:
    text = message.replace("\x1b", "")
    return f"<failure><![CDATA[{text}]]></failure><system-out><![CDATA[{text}]]></system-out>"


@attack("10,000 failures, each its own message")
def _many(folder: Path) -> Call:
    specs = [
        result(f"t{n}", message=f"Error: {_words(n)} went wrong", seconds=n * 0.1)
        for n in range(10_000)
    ]
    write(folder / "in" / "r.json", report(*specs))
    write(folder / "in" / "shop.log", "\n".join(LOG))
    return Call([folder / "in", *JSON], check=has(10_000), limit_s=60, limit_mb=600)


def _words(number: int) -> str:
    letters = "bcdfghklmnprstvz"
    return " ".join(
        "".join(letters[(number * 31 + i * 7 + j) % 97 % 16] + "aeiou"[(number >> j) % 5] for j in range(4))
        for i in range(5)
    ) + "".join(letters[int(c)] for c in str(number))  # fmt: skip


@attack("10,000 failures, all the same message")
def _same(folder: Path) -> Call:
    specs = [result(f"t{n}", message="Error: boom", seconds=n * 0.1) for n in range(10_000)]
    write(folder / "in" / "r.json", report(*specs))
    lines = [f"{stamp(n * 0.1 + 0.5)} ERROR shop: KeyError: 'a'\n" for n in range(10_000)]
    write(folder / "in" / "shop.log", "".join(lines))
    return Call([folder / "in", *JSON], check=has(10_000), limit_s=60, limit_mb=600)


@attack("10,000 failures at one moment")
def _at_once(folder: Path) -> Call:
    specs = [result(f"t{n}", message=f"Error: {_words(n % 50)}") for n in range(10_000)]
    write(folder / "in" / "r.json", report(*specs))
    lines = [f"{stamp(n * 0.0001)} ERROR shop: {_words(n % 40)}\n" for n in range(10_000)]
    write(folder / "in" / "shop.log", "".join(lines))
    return Call([folder / "in", *JSON], check=has(10_000), limit_s=60, limit_mb=600)


@attack("10,000 failures as text")
def _many_text(folder: Path) -> Call:
    call = _many(folder)
    return Call([folder / "in"], limit_s=60, limit_mb=call.limit_mb)


@attack("10,000 JUnit failures without times")
def _many_junit(folder: Path) -> Call:
    cases = "".join(
        f'<testcase name="t{n}" classname="c"><failure message="{_words(n)}">x</failure></testcase>'
        for n in range(10_000)
    )
    write(folder / "in" / "r.xml", f"<testsuite>{cases}</testsuite>")
    write(folder / "in" / "shop.log", "\n".join(LOG))
    return Call([folder / "in", *JSON], check=has(10_000), limit_s=60, limit_mb=600)


# Large logs.


def large_log(path: Path, size: int, line: Callable[[int], str], tail: Iterable[str] = ()) -> None:
    """Write lines until the file is that large, and then the tail."""
    with path.open("w") as file:
        written = number = 0
        while written < size:
            block = "".join(line(number + i) for i in range(2000))
            file.write(block)
            written, number = written + len(block), number + 2000
        file.writelines(f"{text}\n" for text in tail)


def with_log(folder: Path, limit_s: float, limit_mb: int = 300, *quotes: str) -> Call:
    """Analyse the good report with the folder's log."""
    return Call(
        [good(folder), "--logs", folder / "shop.log", *JSON],
        check=cites(*quotes) if quotes else None,
        limit_s=limit_s,
        limit_mb=limit_mb,
    )


@attack("log of 2 GB, sorted")
def _sorted_log(folder: Path) -> Call:
    words = "INFO shop: nothing to see here, move along please " * 2
    line = lambda n: f"{stamp(n * 0.001 - 15_000)} {words}\n"  # noqa: E731
    large_log(folder / "shop.log", 2 * GB, line)
    with (folder / "shop.log").open("r+b") as file:
        place = _find_time(file, stamp(0.5))
        file.seek(place)
        file.write(f"{stamp(0.5)} ERROR shop: KeyError: 'creme' ".encode())
    return with_log(folder, 5, 150, "creme")


def _find_time(file: BinaryIO, wanted: str) -> int:
    low, high = 0, file.seek(0, 2)
    while high - low > 200:
        file.seek((low + high) // 2)
        file.readline()
        here = file.tell()
        if file.readline()[: len(wanted)] < wanted.encode():
            low = (low + high) // 2
        else:
            high = (low + high) // 2
        if here >= high + 400:
            break
    file.seek(low)
    file.readline()
    return file.tell()


@attack("log of 2 GB, unsorted")
def _unsorted_log(folder: Path) -> Call:
    words = "INFO shop: nothing to see here, move along please " * 2
    line = lambda n: f"{stamp(n * 7919 % 20_000 - 10_000)} {words}\n"  # noqa: E731
    large_log(folder / "shop.log", 2 * GB, line)
    return with_log(folder, 180, 400)


@attack("log of 2 GB, without times")
def _timeless_log(folder: Path) -> Call:
    words = "nothing to see here, move along please " * 3
    large_log(folder / "shop.log", 2 * GB, lambda n: f"{n} {words}\n")
    return with_log(folder, 20, 300)


@attack("log of 2 GB, all in one second")
def _one_second(folder: Path) -> Call:
    words = "INFO shop: nothing to see here, move along please " * 2
    large_log(folder / "shop.log", 2 * GB, lambda _: f"{stamp(0.5)} {words}\n")
    return with_log(folder, 180, 500)


@attack("log of 2 GB of NULs")
def _nul_log(folder: Path) -> Call:
    with (folder / "shop.log").open("wb") as file:
        file.truncate(2 * GB)
    return with_log(folder, 10)


@attack("log of 2 GB of NULs, then records")
def _nul_head(folder: Path) -> Call:
    with (folder / "shop.log").open("wb") as file:
        file.truncate(2 * GB)
        file.seek(0, 2)
        file.write("\n".join(["", *LOG]).encode())
    return with_log(folder, 20)


@attack("records, then 2 GB of NULs")
def _nul_tail(folder: Path) -> Call:
    with (folder / "shop.log").open("wb") as file:
        file.write("\n".join(LOG * 9).encode())
        file.truncate(2 * GB)
    return with_log(folder, 20)


@attack("log with a line of 100 MB")
def _long_line(folder: Path) -> Call:
    with (folder / "shop.log").open("w") as file:
        file.write("\n".join(LOG) + f"\n{stamp(0.95)} ERROR shop: long ")
        for _ in range(100):
            file.write("x" * MB)
        file.write(f"\n{stamp(0.96)} ERROR shop: ValueError: after it\n")
    return with_log(folder, 5, 300, "crème brûlée")


@attack("log that is one line of 2 GB")
def _one_line(folder: Path) -> Call:
    with (folder / "shop.log").open("w") as file:
        file.write(f"{stamp(0.5)} ERROR shop: long ")
        for _ in range(2048):
            file.write("x" * MB)
    return with_log(folder, 20)


@attack("record of 50 million continued lines")
def _long_record(folder: Path) -> Call:
    with (folder / "shop.log").open("w") as file:
        file.write("\n".join(LOG) + f"\n{stamp(0.95)} ERROR shop: long\n")
        for _ in range(300):
            file.write("   x\n" * (MB // 5))
    return with_log(folder, 120, 400)


# Files that are none.


@attack("pipe, socket, device, dangling link and link loops in a folder")
def _odd_files(folder: Path) -> Call:
    inside = folder / "in"
    inside.mkdir()
    os.mkfifo(inside / "fifo.json")
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind(str(inside / "s"))
    (inside / "zero").symlink_to("/dev/zero")
    (inside / "random").symlink_to("/dev/urandom")
    (inside / "dangling").symlink_to(folder / "gone")
    (inside / "self").symlink_to(inside / "self")
    (inside / "up").symlink_to(folder)
    (inside / "ping").symlink_to(inside / "pong")
    (inside / "pong").symlink_to(inside / "ping")
    good(inside)
    return Call([inside, "--logs", inside, *JSON], codes=(0, 2))


for title, name in {
    "a pipe": "fifo", "a socket": "socket", "/dev/zero": "/dev/zero", "/dev/stdin": "/dev/stdin",
    "-": "-", "a dangling link": "dangling", "a link loop": "loop", "a name of 300 characters": "x" * 300,
    "an empty name": "", "a folder as a file": "f/g", "bytes that are no UTF-8": "\udcff",
}.items():  # fmt: skip

    def _path(folder: Path, name: str = name) -> Call:
        os.mkfifo(folder / "fifo")
        with socket.socket(socket.AF_UNIX) as endpoint:
            endpoint.bind(str(folder / "socket"))
        (folder / "dangling").symlink_to(folder / "gone")
        (folder / "loop").symlink_to(folder / "loop")
        write(folder / "f", b"x")
        return Call([name], codes=(2,))

    ATTACKS[f"path: {title}"] = _path
    if name in {"fifo", "/dev/zero", "dangling"}:

        def _logs_path(folder: Path, name: str = name) -> Call:
            os.mkfifo(folder / "fifo")
            (folder / "dangling").symlink_to(folder / "gone")
            return Call([good(folder), "--logs", name], codes=(2,))

        ATTACKS[f"--logs: {title}"] = _logs_path


@attack("stdin redirected from a report, as /dev/stdin")
def _stdin_file(folder: Path) -> Call:
    return Call(["/dev/stdin", *JSON], stdin=str(good(folder)), check=has(1))


@attack("/proc/self/mem and /proc/kmsg in a folder")
def _proc(folder: Path) -> Call:
    inside = folder / "in"
    good(inside)
    for name in ("self/mem", "self/pagemap", "self/environ", "version"):
        (inside / name.replace("/", "-")).symlink_to(f"/proc/{name}")
    return Call([inside, *JSON], check=has(1))


@attack("the same path twice, and by a link")
def _twice(folder: Path) -> Call:
    path = good(folder)
    (folder / "link.json").symlink_to(path)
    arguments: list[str | Path] = [path, path, folder / "link.json", "--logs", path, "--logs", path]
    return Call([*arguments, *JSON], codes=(0, 2))


@attack("a report given as --logs")
def _report_as_log(folder: Path) -> Call:
    other = write(folder / "other.json", report(result("other")))
    return Call([good(folder), "--logs", other, *JSON], check=has(1, 1))


@attack("a log given as report")
def _log_as_report(folder: Path) -> Call:
    return Call([write(folder / "shop.log", "\n".join(LOG))], codes=(2,), says=("no test report",))


@attack("a log given as report, beside one")
def _log_beside_report(folder: Path) -> Call:
    log = write(folder / "shop.log", "\n".join(LOG))
    return Call([good(folder), log, *JSON], check=has(1))


# Files that change.


def cut(name: str, size: int, delay_s: float) -> Callable[[Path, subprocess.Popen[bytes]], None]:
    """Cut a file, or delete it when the size is negative, while the command runs."""

    def disturb(folder: Path, process: subprocess.Popen[bytes]) -> None:
        def later() -> None:
            time.sleep(delay_s)
            if process.returncode is None:
                if size < 0:
                    (folder / name).unlink()
                else:
                    os.truncate(folder / name, size)

        threading.Thread(target=later, daemon=True).start()

    return disturb


def changing(name: str, size: int, delay_s: float) -> Callable[[Path], Call]:
    """A report and a log of some size, one of which is cut while they are read."""

    def make(folder: Path) -> Call:
        specs = [result(f"t{n}", message=f"Error: {_words(n)}", seconds=n) for n in range(600)]
        write(folder / "r.json", json.dumps(report(*specs), indent=1))
        line = lambda n: f"{stamp(n * 0.01)} ERROR shop: {_words(n % 99)}\n"  # noqa: E731
        large_log(folder / "shop.log", 10 * MB, line)
        arguments: list[str | Path] = [folder / "r.json", "--logs", folder / "shop.log", *JSON]
        disturb = cut(name, size, delay_s)
        return Call(arguments, codes=(0, 2), disturb=disturb, limit_s=60, limit_mb=500)

    return make


for delay in (0.2, 0.5, 1.0, 2.0, 4.0, 8.0):
    ATTACKS[f"log cut to nothing after {delay} s"] = changing("shop.log", 0, delay)
    ATTACKS[f"log deleted after {delay} s"] = changing("shop.log", -1, delay)
    ATTACKS[f"report cut to 100 bytes after {delay} s"] = changing("r.json", 100, delay)
    ATTACKS[f"report deleted after {delay} s"] = changing("r.json", -1, delay)


# Where the output goes.


@attack("--output to a folder")
def _output_folder(folder: Path) -> Call:
    return Call([good(folder), "--output", folder], codes=(2,))


@attack("--output below a file")
def _output_below(folder: Path) -> Call:
    return Call([good(folder), "--output", good(folder) / "x"], codes=(2,))


@attack("--output in no folder")
def _output_nowhere(folder: Path) -> Call:
    return Call([good(folder), "--output", folder / "no" / "x"], codes=(2,), says=("x",))


@attack("--output /dev/full")
def _output_full(folder: Path) -> Call:
    return Call([good(folder), "--output", "/dev/full"], codes=(2,), says=("/dev/full",))


@attack("--output to what may not be written")
def _output_proc(folder: Path) -> Call:
    return Call([good(folder), "--output", "/proc/version"], codes=(2,), says=("/proc/version",))


@attack("stdout is /dev/full")
def _stdout_full(folder: Path) -> Call:
    return Call([good(folder)], stdout="/dev/full", codes=(2,), says=("No space",))


@attack("--output is the report itself")
def _output_self(folder: Path) -> Call:
    path = good(folder)
    return Call([path, "--output", path])


@attack("stdout closed by its reader")
def _closed(folder: Path) -> Call:
    os.mkfifo(folder / "out")

    def read_a_byte() -> None:
        with (folder / "out").open("rb") as pipe:
            pipe.read(1)

    threading.Thread(target=read_a_byte, daemon=True).start()
    specs = [result(f"t{n}", message=_words(n)) for n in range(999)]
    path = write(folder / "r.json", report(*specs))
    return Call([path, *JSON], stdout=str(folder / "out"), limit_s=10)


@attack("Ctrl-C")
def _interrupt(folder: Path) -> Call:
    call = changing("r.json", 100, 99)(folder)

    def disturb(_: Path, process: subprocess.Popen[bytes]) -> None:
        time.sleep(1.2)
        process.send_signal(signal.SIGINT)

    return Call(call.arguments, codes=(130,), disturb=disturb, limit_mb=500)


@attack("Ctrl-C while starting")
def _interrupt_early(folder: Path) -> Call:
    def disturb(_: Path, process: subprocess.Popen[bytes]) -> None:
        time.sleep(0.12)
        process.send_signal(signal.SIGINT)

    return Call([good(folder)], codes=(130, -2), disturb=disturb)


for title, environment in {
    "LC_ALL=C": {"LC_ALL": "C"},
    "LC_ALL=C without UTF-8 mode": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "PYTHONIOENCODING=ascii": {"PYTHONIOENCODING": "ascii"},
    "PYTHONIOENCODING=utf-16": {"PYTHONIOENCODING": "utf-16"},
    "LC_ALL=tr_TR.UTF-8": {"LC_ALL": "tr_TR.UTF-8"},
    "TZ=Asia/Kathmandu": {"TZ": "Asia/Kathmandu"},
    "COLUMNS=20": {"COLUMNS": "20"},
    "COLUMNS=40": {"COLUMNS": "40"},
    "COLUMNS=200": {"COLUMNS": "200"},
    "COLUMNS=x": {"COLUMNS": "x"},
    "COLUMNS=99999999": {"COLUMNS": "99999999"},
    "NO_COLOR": {"NO_COLOR": "1"},
    "TERM=dumb": {"TERM": "dumb"},
}.items():

    def _locale(folder: Path, environment: dict[str, str] = environment) -> Call:
        write(folder / "in" / "r.json", CAFE)
        write(folder / "in" / "shop-é.log", "\n".join(LOG))
        return Call([folder / "in"], environment=environment, check=_no_wide_lines(environment))

    ATTACKS[f"text under {title}"] = _locale


def _no_wide_lines(environment: dict[str, str]) -> Callable[[Any], list[str]]:
    columns = environment.get("COLUMNS", "100")
    width = max(40, int(columns)) if columns.isdigit() else 100

    def check(text: str) -> list[str]:
        longest = max(len(line) for line in text.splitlines())
        return [f"a line of {longest} columns"] if longest > width else []

    return check
