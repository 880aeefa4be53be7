"""What the log reader makes of the formats that loggers, servers and carriers write."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from heisenberg.model.logs import Level, LogRecord
from heisenberg.model.run import Artefact
from heisenberg.readers.logs import open_log, sniff
from heisenberg.readers.logs.origin import service_name

if TYPE_CHECKING:
    from pathlib import Path

MODIFIED = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
D, I, W, E, F, U = (  # noqa: E741 -- a table of levels reads best in one letter
    Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR, Level.FATAL, Level.UNKNOWN,
)  # fmt: skip


def read(folder: Path, content: str, name: str = "app.log") -> list[LogRecord]:
    with open_log(written(folder, content, name)) as log:
        return list(log.records())


def written(folder: Path, content: str, name: str = "app.log") -> Artefact:
    path = folder / name
    path.write_text(content, newline="")
    os.utime(path, (MODIFIED.timestamp(), MODIFIED.timestamp()))
    return Artefact(f"logs/{name}", path, path.stat().st_size)


TIMED = {
    "python": ("2026-11-23 16:45:44,373 ERROR app.db: failed", "44.373", E, "failed"),
    "python named": ("2026-11-23 16:45:44,373 - app.db - ERROR - failed", "44.373", E, "failed"),
    "celery": ("[2026-11-23 16:45:44,373: ERROR/MainProcess] failed", "44.373", E, "failed"),
    "gunicorn": ("[2026-11-23 16:45:44 +0000] [7] [CRITICAL] failed", "44", F, "failed"),
    "loguru": ("2026-11-23 16:45:44.373 | ERROR    | a.b:f:12 - failed", "44.373", E, "a.b:f:12 - failed"),
    "django": ('[23/Nov/2026 16:45:44] "GET /x HTTP/1.1" 500 1', "44", E, '"GET /x HTTP/1.1" 500 1'),
    "spring": ("2026-11-23T17:45:44.373+01:00 ERROR 1 --- [app] [main] c.e.A : failed", "44.373", E, "failed"),
    "log4j": ("2026-11-23 16:45:44,373 [main] WARN com.x.Y - failed", "44.373", W, "failed"),
    "logback": ("16:45:44.373 [http-1] ERROR c.e.Api - failed", "44.373", E, "failed"),
    "dropwizard": ("INFO  [2026-11-23 16:45:44,373] c.e.A: started", "44.373", I, "c.e.A: started"),
    "tomcat": ("23-Nov-2026 16:45:44.373 SEVERE [main] a.B.c failed", "44.373", E, "a.B.c failed"),
    "go": ("2026/11/23 16:45:44 listening", "44", U, "listening"),
    "nginx": ("2026/11/23 16:45:44 [error] 31#31: *12 refused", "44", E, "31#31: *12 refused"),
    "apache": ("[Mon Nov 23 16:45:44.373 2026] [core:error] [pid 1] failed", "44.373", E, "[pid 1] failed"),
    "redis": ("12:M 23 Nov 2026 16:45:44.373 # failed", "44.373", W, "failed"),
    "mysql": ("2026-11-23T16:45:44.373Z 8 [ERROR] [MY-1] [InnoDB] failed", "44.373", E, "failed"),
    "mysql note": ("2026-11-23T16:45:44.373Z 8 [Note] ok", "44.373", I, "ok"),
    "rabbitmq": ("2026-11-23 16:45:44.373+00:00 [error] <0.2.0> failed", "44.373", E, "<0.2.0> failed"),
    "klog": ("E1123 16:45:44.373455       1 main.go:12] failed", "44.373455", E, "failed"),
    "ruby": ("E, [2026-11-23T16:45:44.373 #12] ERROR -- : failed", "44.373", E, "failed"),
    "serilog": ("2026-11-23 16:45:44.373 +00:00 [ERR] failed", "44.373", E, "failed"),
    "serilog short": ("[16:45:44 ERR] failed", "44", E, "failed"),
    "us, afternoon": ("11/23/2026 4:45:44 PM ERROR failed", "44", E, "failed"),
    "syslog": ("Nov 23 16:45:44 host app[12]: ERROR: failed", "44", E, "failed"),
    "syslog, priority": ("<11>Nov 23 16:45:44 host app[12]: failed", "44", E, "failed"),
    "rfc 5424": ("<11>1 2026-11-23T16:45:44.373Z host app 12 ID47 - failed", "44.373", E, "failed"),
    "php": ("[23-Nov-2026 16:45:44 UTC] PHP Warning:  failed", "44", U, "PHP Warning:  failed"),
    "laravel": ("[2026-11-23 16:45:44] production.ERROR: failed", "44", E, "failed"),
    "winston": ("2026-11-23T16:45:44.373Z error: failed", "44.373", E, "failed"),
    "rust": ("2026-11-23T16:45:44.373Z ERROR shop::db: failed", "44.373", E, "shop::db: failed"),
    "epoch": ("1795452344.373 ERROR failed", "44.373", E, "failed"),
    "named zone": ("2026-11-23 17:45:44.373 CET ERROR failed", "44.373", E, "failed"),
    "offset": ("2026-11-23 22:15:44.373 +0530 ERROR failed", "44.373", E, "failed"),
    "postgres": ("2026-11-23 16:45:44.373 UTC [12] a@b FATAL:  failed", "44.373", F, "failed"),
    "slog": ("time=2026-11-23T16:45:44.373Z level=ERROR msg=failed", "44.373", E, "failed"),
    "logrus": ('time="2026-11-23T16:45:44Z" level=warning msg="it \\"failed\\""', "44", W, 'it "failed"'),
    "pino": ('{"level":50,"time":1795452344373,"msg":"failed"}', "44.373", E, "failed"),
    "zap": ('{"level":"error","ts":1795452344.373,"msg":"failed"}', "44.373", E, "failed"),
    "zerolog": ('{"level":"error","time":1795452344,"message":"failed"}', "44", E, "failed"),
    "structlog": ('{"event":"failed","level":"error","timestamp":"2026-11-23T16:45:44.373Z"}', "44.373", E, "failed"),
    "logstash": (
        ('{"@timestamp":"2026-11-23T16:45:44.373Z","level":"ERROR","level_value":40000,'
         '"message":"failed"}'),
        "44.373", E, "failed",
    ),
    "ecs": ('{"@timestamp":"2026-11-23T16:45:44.373Z","log":{"level":"warn"},"message":"failed"}', "44.373", W, "failed"),
    "gcp": (
        (''
         '{"severity":"ERROR","timestamp":"2026-11-23T16:45:44.373Z","jsonPayload":{"message":"failed"}}'),
        "44.373", E, "failed",
    ),
    "cloudwatch": ('{"timestamp":1795452344373,"message":"failed"}', "44.373", U, "failed"),
    "mongodb": ('{"t":{"$date":"2026-11-23T16:45:44.373+00:00"},"s":"E","c":"N","msg":"failed"}', "44.373", E, "failed"),
    "loguru json": (
        ('{"text":"x","record":{"level":{"name":"ERROR","no":40},"message":"failed",'
         '"time":{"repr":"2026","timestamp":1795452344.373}}}'),
        "44.373", E, "failed",
    ),
    "compact serilog": ('{"@t":"2026-11-23T16:45:44.373Z","@m":"failed","@l":"Error"}', "44.373", E, "failed"),
    "journald": ('{"MESSAGE":"failed","PRIORITY":"3","__REALTIME_TIMESTAMP":"1795452344373000"}', "44.373", E, "failed"),
    "otel": ('{"timeUnixNano":"1795452344373000000","severityNumber":17,"body":"failed"}', "44.373", E, "failed"),
    "tracing": ('{"timestamp":"2026-11-23T16:45:44.373Z","level":"ERROR","fields":{"message":"failed"}}', "44.373", E, "failed"),
    "log4j2 json": (
        ('{"instant":{"epochSecond":1795452344,"nanoOfSecond":373000000},'
         '"level":"ERROR","message":"failed"}'),
        "44.373", E, "failed",
    ),
    "docker": ("2026-11-23T16:45:44.373456789Z ERROR: failed", "44.373456", E, "failed"),
    "docker json": (
        ('{"log":"{\\"level\\":\\"error\\",\\"msg\\":\\"failed\\"}\\n",'
         '"stream":"stderr","time":"2026-11-23T16:45:44.373Z"}'),
        "44.373", E, "failed",
    ),
    "kubelet": ("2026-11-23T16:45:44.373456789Z stderr F ERROR: failed", "44.373456", E, "failed"),
    "compose": ("api-1  | 2026-11-23 16:45:44,373 ERROR a.b: failed", "44.373", E, "failed"),
    "github job": ("2026-11-23T16:45:44.3734567Z ##[error]failed", "44.373456", E, "##[error]failed"),
}  # fmt: skip


@pytest.mark.parametrize("case", TIMED.values(), ids=TIMED)
@pytest.mark.parametrize("count", [1, 30])
def test_one_line_of_a_format(
    tmp_path: Path, case: tuple[str, str, Level, str], count: int
) -> None:
    """A line yields its time as aware UTC, its level and its message without both."""
    line, seconds, level, message = case
    records = read(tmp_path, f"{line}\n" * count)
    time = datetime.fromisoformat(f"2026-11-23T16:45:{seconds}+00:00")

    assert [(time, level, message)] * count == [(r.timestamp, r.level, r.message) for r in records]


REQUESTS = {
    "common": (
        '::1 - bob [23/Nov/2026:16:45:44 +0000] "POST /a?b=c HTTP/1.1" 404 12',
        ("POST", "/a", 404, None, ""),
    ),
    "combined with time": (
        '::1 - - [23/Nov/2026:16:45:44 +0000] "GET /a HTTP/1.1" 200 1 "-" "Moz (x; 1.5)" 0.012',
        ("GET", "/a", 200, 12.0, ""),
    ),
    "named time": (
        (
            '::1 - - [23/Nov/2026:16:45:44 +0000] "GET /a HTTP/1.1" 502 1 "-" "x"'
            " request_time=0.5 request_id=r1"
        ),
        ("GET", "/a", 502, 500.0, "r1"),
    ),
    "virtual host": (
        'shop:80 ::1 - - [23/Nov/2026:16:45:44 +0000] "GET /a HTTP/1.1" 200 1',
        ("GET", "/a", 200, None, ""),
    ),
    "garbage": ('::1 - - [23/Nov/2026:16:45:44 +0000] "-" 400 0', ("", "", 400, None, "")),
    "nginx json": (
        (
            '{"time_local":"23/Nov/2026:16:45:44 +0000","request":"GET /a?b HTTP/1.1",'
            '"status":"502","request_time":"0.012"}'
        ),
        ("GET", "/a", 502, 12.0, ""),
    ),
    "caddy": (
        (
            '{"level":"error","ts":1795452344.3,"msg":"handled","status":502,"duration":0.012345,'
            '"request":{"method":"GET","uri":"/a?b"}}'
        ),
        ("GET", "/a", 502, 12.345, ""),
    ),
    "pino-http": (
        (
            '{"level":30,"time":1795452344373,"req":{"id":7,"method":"GET","url":"/a?b"},'
            '"res":{"statusCode":500},"responseTime":12,"msg":"request completed"}'
        ),
        ("GET", "/a", 500, 12.0, "7"),
    ),
    "ecs": (
        (
            '{"@timestamp":"2026-11-23T16:45:44Z","message":"x","http.request.method":"get",'
            '"url.path":"/a","http.response.status_code":503,"event.duration":12000000,'
            '"trace.id":"t1"}'
        ),
        ("GET", "/a", 503, 12.0, "t1"),
    ),
    "gcp": (
        (
            '{"severity":"ERROR","timestamp":"2026-11-23T16:45:44Z","httpRequest":{"requestMethod":'
            '"GET","requestUrl":"http://x/a?b","status":500,"latency":"0.012s"}}'
        ),
        ("GET", "/a", 500, 12.0, ""),
    ),
    "gin": (
        '[GIN] 2026/11/23 - 16:45:44 | 500 |    1.5ms |  127.0.0.1 | GET      "/a?b=1"',
        ("GET", "/a", 500, 1.5, ""),
    ),
    "morgan": ("GET /a?b 500 5.5 ms - 12", ("GET", "/a", 500, 5.5, "")),
    "uvicorn": (
        'INFO:     ::1:12 - "GET /a?b HTTP/1.1" 500 Internal',
        ("GET", "/a", 500, None, ""),
    ),
    "rails": ("Completed 500 Internal Server Error in 12ms (x)", ("", "", 500, 12.0, "")),
    "serilog": (
        "2026-11-23 16:45:44.373 +00:00 [INF] HTTP GET /a responded 500 in 12.5 ms",
        ("GET", "/a", 500, 12.5, ""),
    ),
    "heroku": (
        (
            'at=error time=2026-11-23T16:45:44Z method=GET path="/a?b" request_id=r1 status=503 '
            "duration=30ms msg=x"
        ),
        ("GET", "/a", 503, 30.0, "r1"),
    ),
    "key and value in a message": (
        "2026-11-23 16:45:44,373 ERROR a.b: failed method=get path=/a status=500 request_id=r1",
        ("GET", "/a", 500, None, "r1"),
    ),
}


@pytest.mark.parametrize("case", REQUESTS.values(), ids=REQUESTS)
def test_request_of_a_line(tmp_path: Path, case: tuple[str, tuple[object, ...]]) -> None:
    """Method, path without query, status, milliseconds and request id are found."""
    line, expected = case
    (r,) = read(tmp_path, f"{line}\n")

    assert expected == (r.method, r.path, r.status, r.duration_ms, r.request_id)


def test_access_log_level_follows_the_status(tmp_path: Path) -> None:
    """Of an access log a 5xx is an error and a 4xx a warning."""
    line = '::1 - - [23/Nov/2026:16:45:44 +0000] "GET /a HTTP/1.1" {} 1\n'
    records = read(tmp_path, "".join(line.format(s) for s in (200, 302, 404, 503)))

    assert [I, I, W, E] == [r.level for r in records]


TRACES = {
    "python": [
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in f',
        "KeyError: 'a'",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        '  File "b.py", line 2, in g',
        "RuntimeError: boom",
    ],
    "group": [
        "  + Exception Group Traceback (most recent call last):",
        '  |   File "a.py", line 1, in f',
        "  | ExceptionGroup: two (1 sub-exception)",
        "  +-+---------------- 1 ----------------",
        "    | ValueError: x",
        "    +------------------------------------",
    ],
    "java": [
        'java.lang.NullPointerException: Cannot invoke "String.length()"',
        "\tat com.example.Shop.f(Shop.java:12)",
        "Caused by: java.io.IOException: x",
        "\tat com.example.Shop.g(Shop.java:13)",
        "\t... 12 more",
    ],
    "node": ["TypeError: x is undefined", "    at f (/app/a.js:1:2)", "    at async g (/app/b.js:3:4)"],
    "go": [
        "panic: runtime error: index out of range [5]",
        "",
        "goroutine 7 [running]:",
        "main.(*Shop).total(0x1, 0x2)",
        "\t/app/shop.go:12 +0x1d",
        "created by net/http.(*Server).Serve in goroutine 1",
        "\t/usr/lib/go/src/net/http/server.go:1 +0x4b4",
        "exit status 2",
    ],
    ".net": [
        "System.InvalidOperationException: bad",
        " ---> System.IO.IOException: worse",
        "   at Shop.Db.Open() in /src/Db.cs:line 12",
        "   --- End of inner exception stack trace ---",
        "   at Shop.Api.Get() in /src/Api.cs:line 3",
    ],
    "ruby": ["app.rb:3:in 'total': undefined method 'x' (NoMethodError)", "\tfrom app.rb:9:in '<main>'"],
    "php": [
        "PHP Fatal error:  Uncaught Exception: x in /a.php:1",
        "Stack trace:",
        "#0 /a.php(2): f()",
        "#1 {main}",
        "  thrown in /a.php on line 1",
    ],
}  # fmt: skip

NEXT = {
    "timed": (
        "2026-11-23 16:45:44,1 ERROR app: failed\n",
        "2026-11-23 16:45:45,1 INFO app.main: next\n",
    ),
    "console": ("", "next thing happened\n"),
    "docker": (
        "2026-11-23T16:45:44.123456789Z ",
        "2026-11-23T16:45:45.123456789Z listening on 3000\n",
    ),
}


@pytest.mark.parametrize("carrier", NEXT)
@pytest.mark.parametrize("language", TRACES)
def test_stack_trace_is_one_record(tmp_path: Path, language: str, carrier: str) -> None:
    """A stack trace is one record with its exception, also where nothing but shape tells."""
    lines, (first, following) = TRACES[language], NEXT[carrier]
    if carrier == "docker":
        content = "".join(f"{first}{line}".rstrip(" ") + "\n" for line in lines) + following
    else:
        content = first + "".join(f"{line}\n" for line in lines) + following
    failed, after = read(tmp_path, content + following)[:2]

    assert "\n".join(lines) in failed.text
    assert lines[-1].strip() in failed.exception
    assert failed.level >= E
    assert after.message in {"next", "next thing happened", "listening on 3000"}


EXCEPTIONS = {
    "text": '"exception":"ValueError: bad\\n  File \\"a.py\\""',
    "nested": '"err":{"type":"ValueError","message":"bad","stack":"ValueError: bad\\n    at f"}',
    "ecs": '"error":{"type":"ValueError","message":"bad","stack_trace":"ValueError: bad\\n at f"}',
    "frames": '"exception":[{"exc_type":"ValueError","exc_value":"bad","frames":[{"filename":"a.py"}]}]',
    "list": '"stack":["ValueError: bad","  at f"]',
}


@pytest.mark.parametrize("pair", EXCEPTIONS.values(), ids=EXCEPTIONS)
def test_exception_of_a_json_record(tmp_path: Path, pair: str) -> None:
    """However a JSON logger writes an exception, its type and message are in the text of it."""
    (r,) = read(tmp_path, f'{{"time":"2026-11-23T16:45:44Z","level":"error","msg":"x",{pair}}}\n')

    assert "ValueError: bad" in r.exception
    assert "x" == r.message


def test_json_values_occur_in_the_text_as_they_are(tmp_path: Path) -> None:
    """Each string value is in the record's text with its escapes undone, to be quoted from it."""
    values = ['say "hi"', "a\nb", "tab\t", "back\\slash", "é😀", "C:\\new\\table"]
    escaped = ['say \\"hi\\"', "a\\nb", "tab\\t", "back\\\\slash", "\\u00e9\\ud83d\\ude00",
               "C:\\\\new\\\\table"]  # fmt: skip
    pairs = ",".join(f'"k{n}":"{text}"' for n, text in enumerate(escaped))
    (r,) = read(tmp_path, f'{{"time":"2026-11-23T16:45:44Z","msg":"x",{pairs}}}\n')

    assert values == [r.fields[f"k{n}"] for n in range(len(values))]
    assert all(value in r.text for value in values)


def test_colours_are_undone(tmp_path: Path) -> None:
    """Terminal colours hide neither time nor level, and are not in the text."""
    (r,) = read(
        tmp_path, "\x1b[2m2026-11-23T16:45:44Z\x1b[0m \x1b[31mERROR\x1b[0m it \x1b[1mbroke\n"
    )

    assert (E, "it broke") == (r.level, r.message)
    assert "2026-11-23T16:45:44Z ERROR it broke" == r.text


def test_postgres_details_join_their_process(tmp_path: Path) -> None:
    """DETAIL, STATEMENT and their indented lines belong to the error of the same process."""
    content = (
        "2026-11-23 16:45:44 UTC [12] bob@shop ERROR:  duplicate key\n"
        "2026-11-23 16:45:44 UTC [13] bob@shop LOG:  duration: 12.5 ms  statement: select 1\n"
        "2026-11-23 16:45:44 UTC [12] bob@shop DETAIL:  Key (a)=(b) exists.\n"
        "2026-11-23 16:45:44 UTC [12] bob@shop STATEMENT:  insert into x\n"
        "\tvalues (1)\n"
    )
    error, slow = read(tmp_path, content)

    assert (E, "duplicate key", "12") == (error.level, error.message, error.fields["pid"])
    assert error.text.endswith("insert into x\n\tvalues (1)")
    assert (12.5, 0) == (slow.duration_ms, slow.text.count("\n"))


def test_compose_tells_services_apart(tmp_path: Path) -> None:
    """Interleaved services keep their own records, each under its service's name."""
    content = (
        "api-1  | 2026-11-23 16:45:44,373 ERROR a.b: boom\n"
        "db-1   | 2026-11-23 16:45:44.400 UTC [12] LOG:  ok\n"
        "api-1  | Traceback (most recent call last):\n"
        "db-1   | 2026-11-23 16:45:44.500 UTC [12] ERROR:  missing\n"
        "api-1  | ValueError: x\n"
    )
    boom, ok, missing = read(tmp_path, content)

    assert ["api", "db", "db"] == [boom.service, ok.service, missing.service]
    assert "Traceback (most recent call last):\nValueError: x" == boom.exception
    assert "missing" == missing.message


def test_foreign_trace_in_a_json_log_is_its_own_record(tmp_path: Path) -> None:
    """An uncaught trace below a JSON line is not that line's, and takes its time."""
    content = (
        '{"time":"2026-11-23T16:45:44Z","level":"info","msg":"fine"}\n'
        'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: x\n'
    )
    fine, trace = read(tmp_path, content)

    assert ("fine", "") == (fine.message, fine.exception)
    assert (fine.timestamp, E) == (trace.timestamp, trace.level)
    assert trace.exception.endswith("ValueError: x")


def test_lines_of_a_sparse_log_are_seen_in_order(tmp_path: Path) -> None:
    """Places sampled twice do not make a sorted log look unsorted."""
    start = datetime(2026, 11, 1, tzinfo=UTC)
    lines = (
        f"{start + timedelta(minutes=n):%Y-%m-%d %H:%M:%S} INFO {'x' * 500}\n" for n in range(900)
    )
    with open_log(written(tmp_path, "".join(lines))) as log:
        is_sorted = log.is_sorted

    assert is_sorted


def test_year_is_that_of_the_file(tmp_path: Path) -> None:
    """Syslog's December read in January is last year's."""
    path = tmp_path / "app.log"
    path.write_text("Dec 31 23:59:59 host app: x\nJan  1 00:00:01 host app: y\n")
    at = datetime(2027, 1, 1, 12, tzinfo=UTC).timestamp()
    os.utime(path, (at, at))
    with open_log(Artefact("app.log", path, path.stat().st_size)) as log:
        years = [r.timestamp.year for r in log.records() if r.timestamp]

    assert [2026, 2027] == years


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("2026-11-23 16:45:44,373 INFO a: x\n", "text"),
        ('{"time":"2026-11-23T16:45:44Z","msg":"x"}\n', "json"),
        ('::1 - - [23/Nov/2026:16:45:44 +0000] "GET / HTTP/1.1" 200 1\n', "access"),
        ("2026-11-23 16:45:44.373 UTC [1] LOG:  x\n", "postgres"),
        ("time=2026-11-23T16:45:44Z level=info msg=x\n", "logfmt"),
        ("2026-11-23T16:45:44.123456789Z out\n" * 3, "stamped+text"),
        ("2026-11-23T16:45:44.373Z  INFO 1 --- [a] c.e.A : x\n" * 3, "text"),
        ("Running 20 tests\n\n  ok 1 - a\n", "console"),
        ("", None),
        ("\n\n", None),
        ("<!DOCTYPE html>\n<html>2026-11-23 16:45:44 x</html>\n", None),
        ('<?xml version="1.0"?>\n<testsuite timestamp="2026-11-23T16:45:44"/>\n', None),
        ('{\n  "suites": [],\n  "startTime": "2026-11-23T16:45:44Z"\n}\n', None),
        ('{"config":{},"suites":[],"stats":{"startTime":"2026-11-23T16:45:44Z"}}\n', None),
        ("import os\n\ndef main():\n    print(1)\n", None),
        ("PK\x03\x04binary", None),
        ("\x01\x02\x03\x04" * 50, None),
    ],
)
def test_sniff(tmp_path: Path, content: str, expected: str | None) -> None:
    """A log is told by its content from markup, documents, code and binary files."""
    assert expected == sniff(written(tmp_path, content))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("logs/api.log", "api"),
        ("api.log.1", "api"),
        ("a/b/web-access.log", "web-access"),
        ("worker.out", "worker"),
        ("api.jsonl", "api"),
        ("postgres.txt", "postgres"),
        ("api-2026-11-23.log", "api"),
        ("shop-api-1.log", "shop-api"),
        (f"api-7d9f8b6c5d-x2x4z_prod_web-{'0af9' * 16}.log", "web"),
        ("api-7d9f8b6c5d-x2x4z.log", "api"),
        ("README", "README"),
        (".log", ".log"),
    ],
)
def test_service_is_named_by_the_file(source: str, expected: str) -> None:
    """The service is the file's name without folder, extension, rotation and replica."""
    assert expected == service_name(source)
