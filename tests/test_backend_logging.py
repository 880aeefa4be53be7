"""Log lines: their form, the request they belong to, and what never gets into them."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import logging
import os
import re
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.testclient import TestClient

from heisenberg.backend import logging as backend_logging
from heisenberg.backend.app import create_app
from heisenberg.backend.auth import Principal
from heisenberg.backend.config import Settings, load_settings
from heisenberg.backend.logging import (
    configure_logging,
    get_logger,
    log_context,
    plain_logger,
    request_id_ctx,
)
from heisenberg.backend.middleware import AccessLogMiddleware, RequestIDMiddleware
from heisenberg.redact import redact
from heisenberg.text import visible
from serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from starlette.types import Message, Receive, Scope, Send

SECRET = "hunter2/+x"
KEY = "hb_k3yPrefix_s3cretPart-of_it"
USED = f"used {KEY}"
PAIR = f"password={SECRET}"


class Written(io.BytesIO):
    """What was logged, line by line."""

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    def __contains__(self, text: str) -> bool:
        return text.encode() in self.getvalue()


@pytest.fixture
def as_it_was() -> Iterator[None]:
    """Leave the process's logging as it was found."""
    pipe = backend_logging._pipe
    before = {
        name: getattr(pipe, name) for name in ("level", "json_format", "stream", "processors")
    }
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    for name, value in before.items():
        setattr(pipe, name, value)
    logging.captureWarnings(capture=False)
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def written(as_it_was: None) -> Written:  # noqa: ARG001 (restores)
    """Everything that is logged from DEBUG on, as JSON."""
    stream = Written()
    configure_logging("DEBUG", stream=stream)
    return stream


@pytest.fixture
def console(as_it_was: None) -> Written:  # noqa: ARG001 (restores)
    """Everything that is logged from DEBUG on, for people."""
    stream = Written()
    configure_logging("DEBUG", json_format=False, stream=stream)
    return stream


log = get_logger("tests.shop")


class TestLoggingConfig:
    def test_logger_module_exists(self, written: Written) -> None:
        """A logger made before the configuration follows it."""
        log.info("order.placed", order=7)

        assert ("order.placed", 7) == (written.last["event"], written.last["order"])

    def test_get_logger_returns_configured_logger(self, written: Written) -> None:
        """A logger carries its name and what is bound to it, and writes nothing below the level."""
        logger = get_logger("tests.payments")
        configure_logging("WARNING", stream=written)

        logger.bind(card="visa").warning("payment.refused")
        logger.info("payment.made")

        assert ["payment.refused"] == [line["event"] for line in written.lines]
        assert ("tests.payments", "visa") == (written.last["logger"], written.last["card"])

    def test_logger_outputs_json_format(self, written: Written) -> None:
        """Each event is one line, and the line is one JSON object."""
        log.info("order.placed", note="two\nlines", tags={"a": [1, None, True]})
        log.info("order.paid", amount=1.5)

        assert 2 == written.getvalue().count(b"\n")
        assert written.getvalue().endswith(b"\n")
        assert "two\nlines" == written.lines[0]["note"]
        assert {"a": [1, None, True]} == written.lines[0]["tags"]
        assert ["timestamp", "level", "logger", "event", "amount"] == list(written.lines[1])

    def test_log_includes_timestamp(self, written: Written) -> None:
        """The time is now, in UTC, ISO 8601 with a Z."""
        log.info("order.placed")

        stamp = written.last["timestamp"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stamp)
        age = datetime.now(UTC) - datetime.fromisoformat(stamp)
        assert timedelta(0) <= age < timedelta(seconds=10)

    def test_the_second_moves_on(self, written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
        """The part of the time that is kept is kept for that second alone."""
        for ns in (1_767_225_599_999_999_999, 1_767_225_600_000_001_000):
            monkeypatch.setattr(backend_logging.time, "time_ns", lambda ns=ns: ns)  # type: ignore[attr-defined]
            log.info("tick")

        assert ["2025-12-31T23:59:59.999999Z", "2026-01-01T00:00:00.000001Z"] == [
            line["timestamp"] for line in written.lines
        ]

    @pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
    def test_log_includes_level(self, written: Written, level: str) -> None:
        """The line tells how severe it is, from either kind of logger."""
        getattr(log, level)("order.placed")
        getattr(logging.getLogger("tests.old"), level)("order placed")

        assert [level, level] == [line["level"] for line in written.lines]

    def test_levels_of_the_standard_library_are_ours(self, written: Written) -> None:
        """An odd level counts as the next one below it, so that nothing is lost."""
        for number in (5, 25, 99):
            logging.getLogger("tests.old").setLevel(1)
            logging.getLogger("tests.old").log(number, "x")
        configure_logging("INFO", stream=written)
        logging.getLogger("tests.old").debug("not written")
        logging.getLogger("tests.old").setLevel(logging.NOTSET)

        assert ["debug", "info", "critical"] == [line["level"] for line in written.lines]

    @pytest.mark.usefixtures("as_it_was")
    def test_standard_error_is_the_default(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Standard output is a command's answer; lines go to standard error."""
        configure_logging()
        log.info("order.placed")

        out, err = capsys.readouterr()
        assert "" == out
        assert "order.placed" == json.loads(err)["event"]

    @pytest.mark.usefixtures("as_it_was")
    def test_text_stream(self) -> None:
        """A stream that takes text gets text."""
        stream = io.StringIO()
        configure_logging(stream=stream)
        log.info("order.placed", by="Žofie")

        assert "Žofie" == json.loads(stream.getvalue())["by"]

    def test_configured_twice_writes_once(self, written: Written) -> None:
        """Two applications in one process do not double the lines."""
        configure_logging("DEBUG", stream=written)
        logging.getLogger("uvicorn.error").info("Application startup complete.")

        assert 1 == len(written.lines)

    def test_structlog_itself_writes_the_same(self, written: Written) -> None:
        """A library that asks structlog for a logger goes the same way."""
        structlog.get_logger("theirs").info("thing.done", password=SECRET)

        assert ("theirs", "[redacted]") == (written.last["logger"], written.last["password"])

    def test_processors_add_facts(self, written: Written) -> None:
        """What is put in the pipe, such as ids of a trace, is on every line."""
        configure_logging(
            stream=written, processors=[lambda _, __, facts: {**facts, "trace": "t1"}]
        )
        log.info("order.placed")
        logging.getLogger("uvicorn.error").info("started")

        assert ["t1", "t1"] == [line["trace"] for line in written.lines]

    def test_facts_cannot_pass_for_what_the_pipe_says(self, written: Written) -> None:
        """A fact named like one of our own fields gets another name."""
        log.info("order.placed", level="critical", timestamp="never", logger="root")

        line = written.last
        assert ("info", "tests.shop") == (line["level"], line["logger"])
        assert ("critical", "never") == (line["level_"], line["timestamp_"])


class TestOtherLoggers:
    def test_standard_library(self, written: Written) -> None:
        """A record's message is the event, its extras are facts."""
        logging.getLogger("tests.old").warning("%s is %d", "stock", 3, extra={"item": "book"})

        line = written.last
        assert ("stock is 3", "tests.old", "book") == (line["event"], line["logger"], line["item"])

    def test_arguments_that_do_not_fit(self, written: Written) -> None:
        """A record whose arguments do not fit its format is written all the same."""
        record = logging.makeLogRecord({"msg": "%d orders", "args": ("many",), "levelno": 30})
        backend_logging._Handler().handle(record)

        assert "%d orders" == written.last["event"]

    def test_uvicorn(self, written: Written) -> None:
        """Handlers that uvicorn installs are taken away; its lines come through ours, once."""
        logger = logging.getLogger("uvicorn")
        theirs = io.StringIO()
        logger.addHandler(logging.StreamHandler(theirs))
        logger.propagate = False
        configure_logging("DEBUG", stream=written)

        logging.getLogger("uvicorn.error").info(
            "Started", extra={"color_message": "\x1b[36mStarted\x1b[0m"}
        )

        assert "" == theirs.getvalue()
        assert {"timestamp", "level", "logger", "event"} == set(written.last)

    def test_a_server_leaves_the_loggers_as_they_were(
        self, written: Written, tmp_path: Path
    ) -> None:
        """Uvicorn is quiet only while our server runs, whose own lines tell of it."""
        theirs = logging.getLogger("uvicorn.error")
        with serving(create_app(load_settings(_env_file=None, data_dir=tmp_path))):
            quiet = not theirs.isEnabledFor(logging.INFO)
        configure_logging("DEBUG", stream=written)
        theirs.info("Finished")

        assert quiet
        assert 1 == len(written.of("Finished"))

    @pytest.mark.parametrize("name", ["sqlalchemy.engine.Engine", "aiosqlite", "uvicorn.access"])
    def test_libraries_that_would_write_values(self, written: Written, name: str) -> None:
        """Statements with their parameters are not written at any level; warnings are."""
        logging.getLogger(name).info("INSERT INTO api_keys VALUES ('x')")
        logging.getLogger(name).debug("likewise")
        logging.getLogger(name).warning("pool exhausted")

        assert ["pool exhausted"] == [line["event"] for line in written.lines]

    def test_warnings(self, written: Written) -> None:
        """Python's warnings are lines too."""
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            configure_logging("DEBUG", stream=written)
            warnings.warn("soon gone", DeprecationWarning, stacklevel=1)

        assert ("py.warnings", "warning") == (written.last["logger"], written.last["level"])
        assert "soon gone" in written.last["event"]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class _Hostile(dict[str, object]):
    def items(self) -> Any:
        raise RuntimeError("changed while it was read")


class TestValues:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("\ud800 lone", "\ufffd lone"),
            (2**80, str(2**80)),
            (float("nan"), None),
            (b"caf\xc3\xa9 \xff", "café \\xff"),
            (Path("/tmp/x"), "/tmp/x"),  # noqa: S108 (not opened)
            (UUID(int=7), str(UUID(int=7))),
            (Unprintable(), "<Unprintable>"),
            ({1: {2}, None: (3,)}, {"1": [2], "None": [3]}),
            (ValueError("x"), "x"),
        ],
    )
    def test_any_value_is_written(self, written: Written, value: object, expected: object) -> None:
        """A value that JSON does not know is told as well as can be, and raises nothing."""
        log.info("order.placed", value=value)

        assert expected == written.last["value"]

    def test_a_loop_of_values_ends(self, written: Written) -> None:
        """A value that holds itself is cut."""
        loop: dict[str, object] = {}
        loop["self"] = loop
        log.info("order.placed", loop=loop)

        assert "order.placed" == written.last["event"]

    def test_a_value_that_cannot_even_be_looked_at(self, written: Written) -> None:
        """What cannot be written is said to be lost; the caller does not fail."""
        log.info("order.placed", value=_Hostile(a=1))

        assert ("log.line_lost", "RuntimeError") == (written.last["event"], written.last["error"])

    def test_long_values_are_cut(self, written: Written) -> None:
        """No line grows with what a client sends."""
        log.info("order.placed", note="x" * 1_000_000, items=list(range(100_000)))

        assert len(written.getvalue()) < 16_000

    @given(st.dictionaries(st.text(), st.text() | st.integers() | st.floats() | st.binary()))
    @example({"event": "x", "request_id": "\ud800"})
    @example({"\ud800": 1})
    @example({"stack": "2026-01-01 forged", "exception": "forged"})
    def test_one_object_a_line_whatever_the_facts(self, facts: dict[str, Any]) -> None:
        """Any facts give exactly one line: one JSON object in UTF-8, or one line for people."""
        pipe = backend_logging._Pipe(json_format=True), backend_logging._Pipe(json_format=False)
        with pytest.MonkeyPatch.context() as patch:
            for one in pipe:
                patch.setattr(backend_logging, "_pipe", one)
                line = backend_logging._render(
                    backend_logging._Sink("x"), "info", {**facts, "exc_info": None}
                )

                assert 1 == line.count(b"\n")
                if one.json_format:
                    assert "log.line_lost" != json.loads(line)["event"]


class TestStreams:
    @pytest.mark.usefixtures("as_it_was")
    def test_closed_pipe(self) -> None:
        """When nobody reads any more, lines are lost and nobody fails."""
        read, write = os.pipe()
        os.close(read)
        before = backend_logging._pipe.lost
        with os.fdopen(write, "wb", buffering=0) as stream:
            configure_logging(stream=stream)
            log.info("order.placed")
            logging.getLogger("tests.old").warning("order placed")

        log.info("order.placed")

        assert 3 == backend_logging._pipe.lost - before

    @pytest.mark.usefixtures("as_it_was")
    def test_no_standard_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process without standard error serves all the same."""
        configure_logging()
        monkeypatch.setattr("sys.stderr", None)
        before = backend_logging._pipe.lost

        log.info("order.placed")

        assert 1 == backend_logging._pipe.lost - before

    def test_threads_do_not_mix_lines(self, written: Written, tmp_path: Path) -> None:
        """Lines that threads write at the same time stay whole."""
        path = tmp_path / "log"
        with path.open("wb") as stream:
            configure_logging(stream=stream)
            threads = [
                threading.Thread(
                    target=lambda n=n: [log.info("x", n=n, fill="x" * 500) for _ in range(200)]
                )
                for n in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            configure_logging(stream=written)

        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        assert 800 == len(lines)


class TestSecrets:
    @pytest.mark.parametrize(
        "name",
        [
            "password", "PASSWORD", "db_password", "passwd", "pwd", "secret", "secret_key",
            "client-secret", "clientSecret", "token", "access_token", "accessToken", "api_key",
            "apiKey", "X-API-Key", "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie",
            "private_key", "credentials", "Passphrase",
        ],
    )  # fmt: skip
    def test_by_the_name_of_the_fact(self, written: Written, name: str) -> None:
        """What stands under a secret's name is not written, at any depth."""
        log.info("x", **{name: SECRET})
        log.info("x", headers={name: SECRET}, deep=[{"a": {name: [SECRET]}}])
        log.info("x", **{name: {"value": SECRET}})
        log.info("x", headers=[{name: SECRET.encode()}])

        assert SECRET not in written
        assert "[redacted]" == written.lines[0][name]
        assert {name: "[redacted]"} == written.lines[1]["headers"]

    @pytest.mark.parametrize(
        "text",
        [
            f"password={SECRET}",
            f"db_password = '{SECRET} and more'",
            f'{{"password": "{SECRET} and more", "user": "x"}}',
            f'{{\\"password\\": \\"{SECRET} more\\"}}',
            f"{{'client_secret': '{SECRET}'}}",
            f"Authorization: Bearer {SECRET}",
            f"Authorization: Basic {SECRET}==",
            f"authorization: {SECRET}",
            f"X-API-Key: {SECRET}",
            f"(b'x-api-key', b'{SECRET}')",
            f"('Authorization', 'Bearer {SECRET}')",
            f'("password", "{SECRET}")',
            f"Cookie: theme=dark; session={SECRET}; x=y",
            f"Set-Cookie: session={SECRET}; Path=/",
            f"postgresql://app:{SECRET}@db:5432/shop",
            f"redis://:{SECRET}@cache:6379/0",
            f"could not connect to postgresql+asyncpg://app:p@{SECRET}@db/shop today",
            f"GET /login?user=x&token={SECRET}&y=1",
            f"secret_key={SECRET}",
            "sk-ant-" + SECRET.replace("/+", "A") * 3,
        ],
    )
    def test_in_the_middle_of_text(self, written: Written, text: str) -> None:
        """What looks like a secret in an event, a value or an exception's message is not written."""
        secret = text if text.startswith("sk-") else SECRET
        log.info(text)
        log.info("x", note=f"it said {text}")
        log.info("x", nested={"list": [f"it said {text}"]})
        logging.getLogger("tests.old").warning("it said %s", text)
        log.info("x", exc_info=RuntimeError(text))

        assert secret not in written
        assert all("[redacted]" in line for line in written.getvalue().decode().splitlines())

    def test_api_keys_keep_their_public_part(self, written: Written) -> None:
        """A key of ours is cut to its prefix, by which it can be found, wherever it stands."""
        log.info(USED, value=KEY, path=f"/keys/{KEY}/x", **{KEY: 1})

        assert "s3cretPart" not in written
        assert "hb_k3yPrefix_[redacted]" == written.last["value"]

    @pytest.mark.parametrize(
        "token", ["ghp_" + "a1" * 18, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"]
    )
    def test_tokens_of_others(self, written: Written, token: str) -> None:
        """Well-known kinds of tokens are known by their form."""
        log.info("x", value=f"with {token} it works", url=f"https://{'t0k3n' * 6}@github.com/x")

        assert token not in written
        assert "t0k3n" not in written

    def test_what_only_tells_of_a_secret_stays(self, written: Written) -> None:
        """Ids, counts and flags are no secrets."""
        facts = {
            "key_id": "0198", "api_key_id": "0199", "token_count": 12, "input_tokens": 7,
            "key_prefix": "k3y", "has_password": True, "password": None, "author": "me",
            "url": "http://127.0.0.1:8000/health?x=a@b", "note": "password authentication failed",
        }  # fmt: skip
        log.info("x", **facts)

        assert facts == {name: written.last[name] for name in facts}

    def test_exceptions_chain(self, written: Written) -> None:
        """A secret in the message of a cause is not written either."""
        error = RuntimeError(KEY)
        error.__cause__ = ValueError(f"postgresql://u:{SECRET}@h/d")
        log.info("x", exc_info=error)

        assert SECRET not in written
        assert "s3cretPart" not in written

    def test_console(self, console: Written) -> None:
        """People are shown no secrets either."""
        log.info(PAIR, token=SECRET, deep={"cookie": SECRET})

        assert SECRET not in console
        assert "[redacted]" in console

    @given(st.text(max_size=300), st.text(max_size=300))
    def test_twice_is_once(self, before: str, after: str) -> None:
        """Redacting what is redacted changes nothing, and a planted key never survives."""
        once = redact(f"{before} {KEY} {after}")

        assert "s3cretPart" not in once
        assert redact(once) == once

    @pytest.mark.parametrize(
        "text",
        ["://a:" * 2000, "password" * 1000, "a" * 8000, "token=" * 1300, "'" * 8000 + "pwd='"],
    )
    def test_hostile_text_takes_no_time(self, text: str) -> None:
        """Text that is made to be slow to search is searched within a fraction of a second."""
        begin = os.times().user
        redact(text)

        assert os.times().user - begin < 1.0


class TestExceptions:
    def test_fields_instead_of_text(self, written: Written) -> None:
        """An exception is type, message, places and causes; no traceback text, no variables."""
        planted = "value of a local variable"

        def fails() -> None:
            local = planted
            raise KeyError("order")  # the message is not `local`
            del local

        try:
            try:
                fails()
            except KeyError as error:
                raise RuntimeError("no such order") from error
        except RuntimeError:
            log.exception("order.failed", order=7)

        line = written.last
        told = line["exception"]
        assert ("error", "order.failed", 7) == (line["level"], line["event"], line["order"])
        assert ("RuntimeError", "builtins", "no such order") == (
            told["type"], told["module"], told["message"],
        )  # fmt: skip
        (cause,) = told["causes"]
        assert "KeyError" == cause["type"]
        assert "fails" == cause["frames"][-1]["function"]
        assert {"file", "line", "function"} == set(cause["frames"][-1])
        assert __file__ == cause["frames"][-1]["file"]
        assert "Traceback" not in written
        assert planted not in written

    def test_of_the_standard_library(self, written: Written) -> None:
        """So it is when the standard library's logger or asyncio tells of it."""
        logging.getLogger("asyncio").error(
            "Task exception was never retrieved\n", exc_info=OSError("disk full")
        )

        assert ("Task exception was never retrieved", "OSError") == (
            written.last["event"],
            written.last["exception"]["type"],
        )

    def test_context_counts_unless_suppressed(self, written: Written) -> None:
        """What was being handled is told, unless it was suppressed by `from None`."""
        for suppressed in (False, True):
            error = ValueError("y")
            error.__context__ = KeyError("x")
            error.__suppress_context__ = suppressed
            log.info("x", exc_info=error)

        assert [True, False] == ["causes" in line["exception"] for line in written.lines]

    def test_groups(self, written: Written) -> None:
        """The members of a group are told."""
        group = ExceptionGroup("two", [ValueError("a"), OSError("b")])
        log.error("x", exc_info=(type(group), group, None))

        assert ["ValueError", "OSError"] == [
            member["type"] for member in written.last["exception"]["exceptions"]
        ]

    def test_endless_recursion_and_chains_are_cut(self, written: Written) -> None:
        """Neither a thousand frames nor a circle of causes makes a long line."""

        def down() -> None:
            down()

        try:
            down()
        except RecursionError as error:
            other = ValueError("x")
            error.__cause__, other.__cause__ = other, error
            log.info("x", exc_info=error)

        assert 30 == len(written.last["exception"]["frames"])
        assert 1 == len(written.last["exception"]["causes"])

    def test_none_is_none(self, written: Written) -> None:
        """`exc_info` without an exception adds nothing."""
        log.info("x", exc_info=True)  # noqa: LOG014 (the point)

        assert "exception" not in written.last

    def test_message_that_raises(self, written: Written) -> None:
        """An exception whose message cannot be had is told by its type."""

        class Broken(Exception):  # noqa: N818 (a test's)
            def __str__(self) -> str:
                raise RuntimeError

        log.info("x", exc_info=Broken())

        assert "<Broken>" == written.last["exception"]["message"]

    def test_for_people(self, console: Written) -> None:
        """On a console an exception is told cause first, on lines of its own."""
        error = RuntimeError("no such order")
        error.__cause__ = KeyError("order")
        log.error("order.failed", exc_info=error)

        text = console.getvalue().decode()
        assert text.index("KeyError") < text.index("RuntimeError: no such order")


class TestForgery:
    @given(st.text(max_size=50))
    @example('x\n{"level":"critical"}')
    @example("x\r\n2026 [critical] fire")
    @example("\x1b[2J\x1b]0;title\x07\u202e\u2028\x9b31m")
    def test_console_shows_what_would_steer_it(self, evil: str) -> None:
        """Untrusted text stays on its line and holds nothing that a terminal obeys."""
        facts = {"event": evil, "value": evil, "deep": [evil], evil or "x": 1}
        line = backend_logging._console(facts, None).decode()

        assert 1 == line.count("\n")
        assert visible(line[:-1]) == line[:-1]

    def test_exception_messages_on_the_console(self, console: Written) -> None:
        """The message of an exception cannot pass for a line either."""
        log.info("x", exc_info=ValueError("a\n2026-01-01T00:00:00Z [critical ] fire\x1b[2J"))

        assert "\x1b" not in console
        assert not any(
            line.startswith("2026-01-01") for line in console.getvalue().decode().splitlines()
        )

    def test_json_escapes_line_ends(self, written: Written) -> None:
        """A line end in a value or a name is escaped."""
        log.info("a\nb", **{"na\nme": "c\r\nd"})

        assert 1 == len(written.getvalue().splitlines())
        assert "c\r\nd" == written.last["na\nme"]


@pytest.fixture
def service() -> FastAPI:
    """An application with a few routes that log, without the rest of ours."""
    app = FastAPI()
    app.add_middleware(RequestIDMiddleware)

    @app.get("/log")
    async def _log() -> str:
        log.info("route.reached")
        return request_id_ctx.get()

    @app.get("/spread")
    async def _spread() -> str:
        async def child() -> None:
            log.info("task.ran")
            logging.getLogger("tests.old").info("task.ran")

        await asyncio.gather(child(), asyncio.create_task(child()))
        await asyncio.to_thread(log.info, "thread.ran")
        with ThreadPoolExecutor() as pool:
            await asyncio.get_running_loop().run_in_executor(
                pool, contextvars.copy_context().run, lambda: log.info("executor.ran")
            )
        return request_id_ctx.get()

    @app.get("/plain")
    def _plain() -> str:
        log.info("sync.ran")
        return request_id_ctx.get()

    return app


@pytest.fixture
async def visitor(service: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=service)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as visitor:
        yield visitor


class TestRequestLogging:
    async def test_request_id_middleware_exists(self) -> None:
        """Pure ASGI: what is no HTTP request passes untouched, and the id ends with its request."""
        seen: list[str] = []

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (ASGI)
            seen.append(request_id_ctx.get())

        middleware = RequestIDMiddleware(inner)
        for kind in ("lifespan", "http"):
            await middleware({"type": kind, "path": "/", "headers": []}, None, None)  # type: ignore[arg-type]  # not called

        assert "" == seen[0]
        assert seen[1]
        assert "" == request_id_ctx.get()

    async def test_request_id_generated_for_each_request(self, visitor: httpx2.AsyncClient) -> None:
        """Two requests have two ids."""
        ids = {(await visitor.get("/log")).headers["x-request-id"] for _ in range(20)}

        assert 20 == len(ids)
        assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)

    @pytest.mark.parametrize("path", ["/log", "/nothing-here", "/plain"])
    async def test_request_id_in_response_header(
        self, visitor: httpx2.AsyncClient, path: str
    ) -> None:
        """Each answer carries the id, exactly once; the client's own when it sent one."""
        given = {"X-Request-ID": "build-7.retry_2"}
        answer = await visitor.get(path, headers=given)

        assert ["build-7.retry_2"] == answer.headers.get_list("x-request-id")

    async def test_request_id_propagated_to_logs(
        self, written: Written, visitor: httpx2.AsyncClient
    ) -> None:
        """Every line of a request has its id: its tasks', its threads', the old loggers'."""
        ids = {}
        for path, lines in {"/log": 1, "/spread": 6, "/plain": 1}.items():
            ids[(await visitor.get(path)).json()] = lines

        own = [line for line in written.lines if line["logger"].startswith("tests.")]
        assert ids == {
            one: sum(line["request_id"] == one for line in own)
            for one in {line["request_id"] for line in own}
        }

    async def test_requests_at_the_same_time_keep_apart(
        self, written: Written, visitor: httpx2.AsyncClient
    ) -> None:
        """A hundred requests at once each log under their own id."""
        answers = await asyncio.gather(*(visitor.get("/spread") for _ in range(100)))

        counts = {answer.json(): 0 for answer in answers}
        for line in written.lines:
            if line["logger"].startswith("tests."):
                counts[line["request_id"]] += 1
        assert {6} == set(counts.values())
        assert 100 == len(counts)

    def test_outside_a_request_there_is_no_id(self, written: Written) -> None:
        """A line outside a request does not pretend to be of one."""
        log.info("service.started")

        assert "request_id" not in written.last

    @pytest.mark.parametrize(
        "given",
        [
            b"", b"x" * 129, b"a b", b"a\tb", b"a\nb", b"a\n", b"a;b", b"a/b", b"\xc3\xa9", b'a"b',
            b"<script>", b"\x1b[31m", b"a,b",
        ],
    )  # fmt: skip
    async def test_harmful_ids_are_replaced(self, given: bytes) -> None:
        """An id that is too long or holds anything but letters, digits and ._- is not taken over."""
        assert re.fullmatch("[0-9a-f]{32}", await _answered_id((b"x-request-id", given)))

    @pytest.mark.parametrize("given", [b"x", b"A-z_0.9", b"x" * 128])
    async def test_harmless_ids_are_kept(self, given: bytes) -> None:
        """An id of 1 to 128 such characters is the request's."""
        assert given.decode() == await _answered_id((b"x-request-id", given))

    async def test_two_ids_are_none(self) -> None:
        """A request that brings two ids gets a third."""
        found = await _answered_id((b"x-request-id", b"one"), (b"x-request-id", b"two"))

        assert found not in {"one", "two"}

    async def test_an_answer_that_already_has_one(self) -> None:
        """An id that the application put in its answer is replaced, and the answer is not changed."""
        fields = [(b"X-Request-ID", b"mine"), (b"a", b"b")]

        assert "real" == await _answered_id((b"x-request-id", b"real"), answer=fields)
        assert [(b"X-Request-ID", b"mine"), (b"a", b"b")] == fields


async def _answered_id(
    *headers: tuple[bytes, bytes], answer: list[tuple[bytes, bytes]] | None = None
) -> str:
    """The one id in the answer to a request with these headers."""
    sent: list[Message] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (ASGI)
        await send({"type": "http.response.start", "status": 200, "headers": answer or []})
        await send({"type": "http.response.body"})

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "path": "/", "headers": list(headers)}
    await RequestIDMiddleware(inner)(scope, None, send)  # type: ignore[arg-type]  # not called
    (found,) = (v for k, v in sent[0]["headers"] if k.lower() == b"x-request-id")
    return bytes(found).decode()


class TestLogContext:
    def test_log_context_manager_exists(self, written: Written) -> None:
        """Facts are on every line inside, the inner ones win, and they end with it."""
        with log_context(run="r1", shard=1):
            log.info("a")
            with log_context(shard=2):
                log.info("b")
                log.info("c", shard=3)
                logging.getLogger("tests.old").info("d")
            log.info("e")
        log.info("f")

        assert [("r1", 1), ("r1", 2), ("r1", 3), ("r1", 2), ("r1", 1), (None, None)] == [
            (line.get("run"), line.get("shard")) for line in written.lines
        ]

    async def test_context_preserved_in_async_calls(self, written: Written) -> None:
        """Facts follow into awaited calls, tasks and threads, and not into other tasks."""

        async def work(name: str) -> None:
            with log_context(work=name):
                await asyncio.sleep(0)
                log.info("step", expected=name)
                await asyncio.create_task(step(name))
                await asyncio.to_thread(lambda: log.info("step", expected=name))

        async def step(name: str) -> None:
            await asyncio.sleep(0)
            log.info("step", expected=name)

        await asyncio.gather(*(work(f"w{n}") for n in range(5)))
        log.info("after", expected=None)

        lines = [line for line in written.lines if line["logger"] == "tests.shop"]
        assert 16 == len(lines)
        assert all(line.get("work") == line["expected"] for line in lines)

    def test_context_ends_with_an_exception(self, written: Written) -> None:
        """Facts do not outlive a block that fails."""
        with pytest.raises(KeyError), log_context(run="r1"):
            raise KeyError
        log.info("a")

        assert "run" not in written.last


class TestAccessLog:
    """One line a request, whatever becomes of it."""

    async def test_one_line_a_request(self, client: httpx2.AsyncClient, written: Written) -> None:
        """It tells method, route, status, time and client, under the request's id."""
        answer = await client.get("/health")

        (line,) = written.of("request.finished")
        assert ("GET", "/health", 200) == (line["method"], line["route"], line["status"])
        assert answer.headers["x-request-id"] == line["request_id"]
        assert 0 < line["duration_ms"] < 10_000
        assert "client" in line
        assert ("info", "heisenberg.backend.middleware") == (line["level"], line["logger"])

    async def test_unknown_paths_share_a_route(
        self, app: FastAPI, client: httpx2.AsyncClient, written: Written
    ) -> None:
        """A path that nobody knows is in neither the line nor a metric's label."""
        for n in range(3):
            await client.get(f"/wp-login-{n}.php?token={SECRET}")

        lines = written.of("request.finished")
        assert [("unmatched", 404)] * 3 == [(line["route"], line["status"]) for line in lines]
        metrics = app.state.shared.metrics
        labels = {"method": "GET", "route": "unmatched", "status": "404"}
        assert 3 == metrics.registry.get_sample_value("heisenberg_http_requests_total", labels)
        assert "wp-login" not in metrics.exposition("")[0].decode()

    async def test_the_whole_route_is_told(
        self, client: httpx2.AsyncClient, written: Written
    ) -> None:
        """A route is told with its prefixes and placeholders, never with the id of one thing."""
        await client.get("/api/v1/analyses/0198f2ab-7d11-7c3e-9d58-0a1b2c3d4e5f")

        assert "/api/v1/analyses/{id}" == re.sub(
            r"\{\w+\}", "{id}", written.of("request.finished")[0]["route"]
        )

    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
    async def test_probes_do_not_flood(
        self, client: httpx2.AsyncClient, written: Written, path: str
    ) -> None:
        """A probe's line is at debug."""
        await client.get(path)

        assert ["debug"] == [line["level"] for line in written.of("request.finished")]

    async def test_429_has_line_and_id(self, settings: Settings, written: Written) -> None:
        """A refused request is told of, and its answer has the id once."""
        app = create_app(settings.model_copy(update={"rate_limit_burst": 1}))
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app), base_url="http://test"
        ) as visitor:
            await visitor.get("/nothing-here")
            refused = await visitor.get("/nothing-here", headers={"X-Request-ID": "abc"})

        assert (429, ["abc"]) == (refused.status_code, refused.headers.get_list("x-request-id"))
        assert "abc" == refused.json()["request_id"]
        assert 429 == written.of("request.finished")[-1]["status"]

    async def test_500_has_line_and_id(self, app: FastAPI, written: Written) -> None:
        """A request that fails is told of twice, by its error and its access line, under one id."""

        @app.get("/boom")
        async def boom() -> None:
            raise ZeroDivisionError(f"password={SECRET}")

        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as visitor:
            answer = await visitor.get("/boom", headers={"X-Request-ID": "abc"})

        assert (500, ["abc"]) == (answer.status_code, answer.headers.get_list("x-request-id"))
        (failed,) = written.of("request.failed")
        (finished,) = written.of("request.finished")
        assert ("abc", "abc", 500) == (
            failed["request_id"],
            finished["request_id"],
            finished["status"],
        )
        assert "ZeroDivisionError" == failed["exception"]["type"]
        assert SECRET not in written

    async def test_key_is_told_by_its_id(self, settings: Settings, written: Written) -> None:
        """A request with a valid key names the key's id."""
        principal = Principal(UUID(int=7), UUID(int=8), frozenset())

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["principal"] = principal
            await Response("ok")(scope, receive, send)

        await _served(inner, settings)

        assert str(UUID(int=7)) == written.last["key_id"]

    async def test_client_that_leaves_before_the_answer(
        self, settings: Settings, written: Written
    ) -> None:
        """Nobody received what is answered to a client that has left: 499."""

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await Response("too late", 400)(scope, receive, send)

        metrics = await _served(inner, settings)

        assert (499, "client_left") == (written.last["status"], written.last["aborted"])
        assert 0 == metrics("heisenberg_http_requests_in_flight", {})

    async def test_client_that_leaves_within_the_answer(
        self, settings: Settings, written: Written
    ) -> None:
        """When part of the answer was sent, its status stands, and that it was cut is told."""

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x"
                await asyncio.sleep(0)

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            await StreamingResponse(endless())(scope, receive, send)

        await _served(inner, settings, waits=True)

        assert (200, "client_left") == (written.last["status"], written.last["aborted"])

    @pytest.mark.parametrize("started", [False, True])
    async def test_handler_that_raises(
        self, settings: Settings, written: Written, started: bool
    ) -> None:
        """An error that nobody caught is passed on, told and counted."""

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (ASGI)
            if started:
                await send({"type": "http.response.start", "status": 200, "headers": []})
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await _served(inner, settings)

        expected = (200 if started else 500, "failed")
        assert expected == (written.last["status"], written.last["aborted"])

    async def test_cancelled_request(self, settings: Settings, written: Written) -> None:
        """A request that is cut by a stop is told of, and the cancellation goes on."""

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (ASGI)
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await _served(inner, settings)

        assert (500, "failed") == (written.last["status"], written.last["aborted"])


async def _served(
    inner: Callable[[Scope, Receive, Send], Any], settings: Settings, *, waits: bool = False
) -> Callable[[str, dict[str, str]], float | None]:
    """Serve one request, whose client sends nothing and leaves; how to read the metrics.

    Args:
        inner: The application.
        settings: Of the service.
        waits: Whether the client waits for the first bytes of an answer.
    """
    state = create_app(settings).state.shared

    sent = asyncio.Event()

    async def receive() -> Message:
        if waits:
            await sent.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:  # noqa: ARG001 (ASGI)
        sent.set()

    scope = dict(Request({"type": "http", "method": "GET", "path": "/", "headers": []}).scope)
    await AccessLogMiddleware(inner, state)(scope, receive, send)
    read: Callable[[str, dict[str, str]], float | None] = state.metrics.registry.get_sample_value
    return read


class TestService:
    """The application sets its logging up when it starts."""

    @pytest.mark.usefixtures("as_it_was")
    @pytest.mark.parametrize("log_format", ["json", "console"])
    def test_settings_decide(
        self,
        settings: Settings,
        capsys: pytest.CaptureFixture[str],
        log_format: str,
    ) -> None:
        """Level and format are those of the settings, twice in one process too."""
        for _ in range(2):
            app = create_app(
                load_settings(
                    **{**settings.model_dump(), "log_format": log_format, "log_level": "info"}
                )
            )
            with TestClient(app):
                capsys.readouterr()
                log.debug("not.written")
                log.info("written")

            lines = [line for line in capsys.readouterr().err.splitlines() if "written" in line]
            assert 1 == len(lines)
            assert (log_format == "json") == lines[0].startswith("{")

    @pytest.mark.usefixtures("as_it_was")
    def test_unknown_variables_are_told(
        self,
        settings: Settings,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A variable that looks like a setting and is none is warned of once, without its value."""
        monkeypatch.setenv("HEISENBERG_LOG_LEVL", SECRET)
        monkeypatch.setattr(backend_logging._pipe, "told", set())
        for _ in range(2):
            with TestClient(create_app(settings)):
                pass

        err = capsys.readouterr().err
        (line,) = (json.loads(x) for x in err.splitlines() if "settings.unknown" in x)
        assert ("warning", ["HEISENBERG_LOG_LEVL"]) == (line["level"], line["variables"])
        assert SECRET not in err


class TestPlainLines:
    """What every request writes takes a shorter way through the same pipe."""

    @pytest.mark.parametrize("facts", [{"method": "GET", "status": 200, "duration_ms": 0.5}, {}])
    def test_a_plain_line_is_the_usual_one(self, facts: dict[str, Any]) -> None:
        """Both ways write the same keys in the same order, with the request's id."""
        stream = io.StringIO()
        configure_logging(stream=stream)
        token = request_id_ctx.set("req-1")

        plain_logger("access")("info", "request.finished", facts)
        get_logger("access").info("request.finished", **facts)
        request_id_ctx.reset(token)

        plain, usual = (
            [(k, v) for k, v in json.loads(line).items() if k != "timestamp"]
            for line in stream.getvalue().splitlines()
        )
        assert usual == plain
        assert ("request_id", "req-1") in plain

    def test_a_plain_line_below_the_level_is_not_written(self) -> None:
        """The level holds on the short way too."""
        stream = io.StringIO()
        configure_logging("WARNING", stream=stream)

        plain_logger("access")("info", "request.finished", {})

        assert "" == stream.getvalue()

    def test_a_plain_line_gets_what_others_add(self) -> None:
        """Processors, such as that of traces, and `log_context` are not passed by."""
        stream = io.StringIO()
        configure_logging(
            stream=stream, processors=[lambda _, __, facts: {**facts, "trace_id": "t"}]
        )

        with log_context(run="r"):
            plain_logger("access")("info", "request.finished", {})

        (line,) = map(json.loads, stream.getvalue().splitlines())
        assert {"trace_id": "t", "run": "r"}.items() <= line.items()


def test_a_line_that_cannot_be_cut_tells_what_it_left_out() -> None:
    """However much is nested in it, a line has an end, and keeps its event."""
    stream = io.StringIO()
    configure_logging(stream=stream)

    get_logger("x").info(
        "much.found", all={str(n): {str(m): "x" * 2000 for m in range(50)} for n in range(50)}
    )

    written = stream.getvalue()
    line = json.loads(written)
    assert len(written) < 10_000
    assert ("much.found", ["all"]) == (line["event"], line["left_out"])


async def test_a_refused_request_is_told_by_its_route(tmp_path: Path) -> None:
    """Refused before the router saw it, a request still counts for its route, and none for its path."""
    app = create_app(load_settings(_env_file=None, data_dir=tmp_path, rate_limit_per_minute=1))
    stream = io.StringIO()
    path = "/api/v1/analyses/01a20da0-106b-750b-8916-4194686969ed"
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://test"
    ) as client:
        configure_logging(stream=stream)
        for _ in range(2):
            await client.get(path)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [("/api/v1/analyses/{analysis_id}", 401), ("/api/v1/analyses/{analysis_id}", 429)] == [
        (line["route"], line["status"]) for line in lines if line["event"] == "request.finished"
    ]
