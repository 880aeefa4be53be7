"""Errors: every one is a problem document that tells what to do, and whose fault it is."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx2
import pytest
from fastapi import Body, FastAPI
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from structlog.testing import capture_logs

from heisenberg.backend import errors
from heisenberg.backend.config import Settings, load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.database_errors import is_unavailable
from heisenberg.backend.errors import ErrorMiddleware, ProblemError
from servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from starlette.types import Message, Receive, Scope, Send

    from servers import Postgres


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str
    count: int = 1


@pytest.fixture
def service() -> FastAPI:
    """An application whose errors are ours."""
    app = FastAPI()
    errors.add_handlers(app)
    app.add_middleware(ErrorMiddleware)

    @app.post("/orders")
    async def _place(orders: Annotated[list[Order], Body()]) -> int:
        return len(orders)

    @app.get("/orders")
    async def _list() -> int:
        return 0

    @app.put("/orders/{number}")
    async def _change(number: int) -> int:
        return number

    return app


@pytest.fixture
async def visitor(service: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=service)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as visitor:
        yield visitor


def problem(answer: httpx2.Response) -> tuple[int, str, str]:
    """Status, name and detail, of a document that is whole."""
    document = answer.json()
    assert "application/problem+json" == answer.headers["content-type"]
    assert answer.status_code == document["status"]
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= set(document)
    return answer.status_code, document["type"].rpartition(":")[2], document["detail"]


async def posted(visitor: httpx2.AsyncClient, body: bytes) -> tuple[int, str, str]:
    headers = {"Content-Type": "application/json"}
    return problem(await visitor.post("/orders", content=body, headers=headers))


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"{", "Expecting property name"),
            (b"[1,]", "Expecting value"),
            (b"\xff\xfe{}x", "UTF-8"),
            (b'[{"title": "\xff"}]', "UTF-8"),
            (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
            (b'[{"title": ' + b'{"a":' * 50_000, "nested too deeply"),
            (b"9" * 5000, "too many digits"),
        ],
    )
    async def test_a_body_that_is_no_json_is_told_why(
        self, visitor: httpx2.AsyncClient, body: bytes, reason: str
    ) -> None:
        """What cannot be read as JSON is the client's fault, and the detail says what is wrong."""
        status, name, detail = await posted(visitor, body)

        assert (422, "invalid-json") == (status, name)
        assert detail.startswith("the body is no JSON: ")
        assert reason in detail

    async def test_wrong_fields_are_named(self, visitor: httpx2.AsyncClient) -> None:
        """Each wrong field is told by its path, and no value is repeated."""
        body = [{"title": "x"}, {"count": "hunter2", "title": "y"}, {}]
        status, name, detail = await posted(visitor, json.dumps(body).encode())

        assert (422, "invalid-request") == (status, name)
        assert detail.startswith("[1].count: ")
        assert detail.endswith("(and 1 more)")
        assert "hunter2" not in detail

    async def test_only_the_first_wrong_fields_are_told(self, visitor: httpx2.AsyncClient) -> None:
        """The answer does not grow with the request."""
        answer = await visitor.post("/orders", json=[{}] * 1000)

        assert 20 == len(answer.json()["errors"])
        assert answer.json()["detail"].endswith("(and 999 more)")

    async def test_names_that_cannot_be_shown(self, visitor: httpx2.AsyncClient) -> None:
        """A name that UTF-8 cannot carry, or that would steer a terminal, is told escaped."""
        body = b'[{"title": "x", "\\ud800\\u001b[2J\\n": 1}]'
        status, name, detail = await posted(visitor, body)

        assert (422, "invalid-request") == (status, name)
        assert detail.isprintable()

    async def test_long_names_are_cut(self, visitor: httpx2.AsyncClient) -> None:
        """A name that the client chose is cut."""
        _, _, detail = await posted(
            visitor, json.dumps([{"title": "x", "n" * 100_000: 1}]).encode()
        )

        assert len(detail) < 500


class TestPaths:
    async def test_unknown_path(self, visitor: httpx2.AsyncClient) -> None:
        """A path that does not exist is told where the paths are."""
        status, name, detail = problem(await visitor.get("/order"))

        assert (404, "not-found") == (status, name)
        assert "/docs" in detail

    async def test_methods_of_a_path(self, visitor: httpx2.AsyncClient) -> None:
        """A method that a path does not have is answered with all those that it has."""
        answer = await visitor.delete("/orders")

        assert (405, "method-not-allowed") == problem(answer)[:2]
        assert "GET, POST" == answer.headers["allow"]
        assert "GET, POST" in problem(answer)[2]
        assert "PUT" == (await visitor.get("/orders/7")).headers["allow"]

    async def test_made_up_method(self, visitor: httpx2.AsyncClient) -> None:
        """A method that nobody knows is answered likewise, and is cut."""
        answer = await visitor.request("BREW" * 500, "/orders")

        assert 405 == problem(answer)[0]
        assert len(problem(answer)[2]) < 300

    async def test_path_of_any_bytes(self, visitor: httpx2.AsyncClient) -> None:
        """Whatever the path holds, the answer can be written."""
        assert 404 == problem(await visitor.get("/%ed%a0%80/%00/%0a%1b[2J"))[0]

    def test_a_path_that_utf8_cannot_carry(self) -> None:
        """A document can be written whatever it repeats."""
        response = errors.problem_response(ProblemError(404, "not-found", "\ud800"), "/\udfff")

        assert "?" == json.loads(bytes(response.body))["detail"]


async def through(
    inner: Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]],
) -> tuple[list[Message], list[Any]]:
    """What ErrorMiddleware sends and logs for an application."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with capture_logs() as lines:
        await ErrorMiddleware(inner)(scope, receive, send)
    return sent, list(lines)


def raises(error: BaseException) -> Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (ASGI)
        raise error

    return inner


class TestUncaught:
    async def test_an_error_of_ours_is_500(self) -> None:
        """It is logged whole, and the client is told nothing of it."""
        sent, lines = await through(raises(KeyError("hunter2")))

        assert 500 == sent[0]["status"]
        assert b"hunter2" not in sent[1]["body"]
        (line,) = lines
        assert ("request.failed", "error") == (line["event"], line["log_level"])
        assert isinstance(line["exc_info"], KeyError)

    @pytest.mark.parametrize(
        "wrap", [lambda e: e, lambda e: ExceptionGroup("x", [ExceptionGroup("y", [e])])]
    )
    async def test_a_problem_stays_itself(self, wrap: Callable[[Exception], Exception]) -> None:
        """A problem is answered as it is, alone in a task group too, and is no error of ours."""
        sent, lines = await through(raises(wrap(ProblemError(409, "taken", "it is taken"))))

        assert (409, []) == (sent[0]["status"], lines)

    async def test_starlettes_own(self) -> None:
        """An HTTPException of a middleware keeps its status."""
        sent, _ = await through(raises(HTTPException(418, "tea")))

        assert 418 == sent[0]["status"]

    async def test_group_of_several(self) -> None:
        """Several errors at once are 500, with all of them in the log."""
        sent, lines = await through(raises(ExceptionGroup("x", [KeyError("a"), ValueError("b")])))

        assert 500 == sent[0]["status"]
        assert isinstance(lines[0]["exc_info"], ExceptionGroup)

    async def test_client_that_leaves(self) -> None:
        """A client that leaves while its body is read is nobody's error."""
        sent, lines = await through(raises(ClientDisconnect()))

        assert [] == sent
        assert ["debug"] == [line["log_level"] for line in lines]

    async def test_after_the_answer_began(self) -> None:
        """What fails halfway is logged and passed on, so that the server cuts the connection."""

        async def halves() -> AsyncIterator[bytes]:
            yield b"half"
            raise KeyError("x")

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (ASGI)
            await StreamingResponse(halves())(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]  # nobody leaves

        scope: Scope = {"type": "http", "path": "/", "headers": []}
        with capture_logs() as lines, pytest.raises((KeyError, ExceptionGroup)):
            await ErrorMiddleware(inner)(scope, None, _ignore)  # type: ignore[arg-type]  # not called

        assert ["request.failed"] == [line["event"] for line in lines]

    async def test_database_away_is_503(self) -> None:
        """The client is told to come back, the log in one line without a traceback."""
        error = sqlite3.OperationalError("database is locked\nreally")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        sent, lines = await through(raises(DBAPIError("INSERT", {}, error)))

        assert 503 == sent[0]["status"]
        assert b"retry-after" in dict(sent[0]["headers"])
        (line,) = lines
        assert ("database.unavailable", "database is locked") == (line["event"], line["reason"])
        assert "exc_info" not in line


async def _ignore(message: Message) -> None:
    pass


async def error_of(database: Database, *statements: str) -> BaseException:
    """What the statements raise, in one transaction."""

    async def run() -> None:
        async with database.write() as session:
            for statement in statements:
                await session.execute(text(statement))

    with pytest.raises(Exception) as caught:  # noqa: PT011 (which one is the question)
        await run()
    return caught.value


def postgres_settings(url: str, **settings: Any) -> Settings:
    return load_settings(_env_file=None, database_url=url, **settings)


class TestWhoseFault:
    """Errors of real servers."""

    @pytest.fixture
    async def database(self, settings: Settings) -> AsyncIterator[Database]:
        database = Database(settings)
        yield database
        await database.close()

    @pytest.mark.parametrize(
        "statement",
        ["SELECT * FROM nothing", "SELEC 1", "INSERT INTO organizations DEFAULT VALUES"],
    )
    async def test_wrong_statements_are_ours(self, database: Database, statement: str) -> None:
        """A statement that is wrong, or breaks a constraint, is an error of the program."""
        error = await error_of(database, statement)

        assert isinstance(error, DBAPIError)
        assert not is_unavailable(error)

    async def test_wrong_values_are_ours(self, postgres_url: str) -> None:
        """A value that the driver refuses is not a connection that is lost."""
        database = Database(postgres_settings(postgres_url))
        async with database.engine.connect() as connection:
            with pytest.raises(DBAPIError) as caught:
                await connection.execute(text("SELECT CAST(:x AS integer)"), {"x": "seven"})
        await database.close()

        assert not is_unavailable(caught.value)

    async def test_nobody_listens(self) -> None:
        """A server that is not there is unavailable."""
        database = Database(postgres_settings(f"postgresql://x@127.0.0.1:{free_port()}/x"))

        error = await error_of(database, "SELECT 1")

        assert is_unavailable(error), repr(error)

    async def test_statement_timeout(self, postgres_url: str) -> None:
        """A statement that takes too long is ended by the server: unavailable."""
        database = Database(postgres_settings(postgres_url, database_statement_timeout_s=0.05))

        error = await error_of(database, "SELECT pg_sleep(5)")
        await database.close()

        assert is_unavailable(error), repr(error)

    async def test_killed_connection(self, postgres_url: str) -> None:
        """A connection that an administrator ends is unavailable."""
        database = Database(postgres_settings(postgres_url))

        error = await error_of(
            database, "SELECT pg_terminate_backend(pg_backend_pid())", "SELECT 1"
        )
        await database.close()

        assert is_unavailable(error), repr(error)

    async def test_pool_exhausted(self, postgres_url: str) -> None:
        """No free connection in time is unavailable."""
        database = Database(
            postgres_settings(
                postgres_url,
                database_pool_size=1,
                database_max_overflow=0,
                database_pool_timeout_s=0.05,
            )
        )
        async with database.read() as session:
            await session.execute(text("SELECT 1"))
            error = await error_of(database, "SELECT 1")
        await database.close()

        assert is_unavailable(error), repr(error)

    async def test_server_stops(self, own_postgres: Postgres) -> None:
        """A server that stops under a connection, and one that has stopped, are unavailable."""
        database = Database(postgres_settings(own_postgres.url()))
        async with database.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            await asyncio.to_thread(own_postgres.stop)
            with pytest.raises(Exception) as caught:  # noqa: PT011 (which one is the question)
                await connection.execute(text("SELECT 1"))
        later = await error_of(database, "SELECT 1")
        await database.close()

        assert is_unavailable(caught.value), repr(caught.value)
        assert is_unavailable(later), repr(later)

    async def test_frozen_server(self, own_postgres: Postgres) -> None:
        """A server that accepts and does not answer is unavailable."""
        database = Database(postgres_settings(own_postgres.url(), database_connect_timeout_s=0.2))
        own_postgres.pause()
        try:
            error = await error_of(database, "SELECT 1")
        finally:
            own_postgres.resume()

        assert is_unavailable(error), repr(error)

    async def test_locked_file(self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A SQLite file that another process holds for too long is unavailable."""
        monkeypatch.setattr("heisenberg.backend.database.SQLITE_BUSY_TIMEOUT_S", 0.01)
        database = Database(postgres_settings(sqlite_url))
        holder = sqlite3.connect(str(database.url.database), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")

        error = await error_of(database, "DELETE FROM organizations")
        holder.close()
        await database.close()

        assert is_unavailable(error), repr(error)

    async def test_folder_is_gone(self, tmp_path: Path) -> None:
        """A SQLite file that cannot be opened is unavailable, and leaves no thread behind."""
        database = Database(postgres_settings(f"sqlite:///{tmp_path}/gone/x.db"))
        opening = "_connection_worker_thread"

        error = await error_of(database, "SELECT 1")
        left = [thread for thread in threading.enumerate() if opening in thread.name]
        await database.close()

        assert is_unavailable(error), repr(error)
        assert [] == left

    @pytest.mark.parametrize(
        "make",
        [
            lambda: Path("/nothing/here").read_text(),
            lambda: (_ for _ in ()).throw(TimeoutError("an analysis took too long")),
            lambda: (_ for _ in ()).throw(ConnectionResetError("some other server")),
            lambda: dict[str, int]()["x"],
        ],
    )
    def test_files_and_timeouts_of_ours(self, make: Callable[[], object]) -> None:
        """An operating system's error that did not come out of the driver is not the database's."""
        with pytest.raises((OSError, KeyError)) as caught:
            make()

        assert not is_unavailable(caught.value)

    def test_groups_are_the_databases_only_when_all_are(self) -> None:
        """One error of ours in a group makes the group ours."""
        away = sqlite3.OperationalError("database is locked")
        away.sqlite_errorcode = sqlite3.SQLITE_BUSY

        assert is_unavailable(ExceptionGroup("x", [away, away]))
        assert not is_unavailable(ExceptionGroup("x", [away, KeyError("x")]))

    @pytest.mark.parametrize(
        ("state", "expected"),
        [
            ("57P01", True), ("57P03", True), ("53300", True), ("53100", True), ("08003", True),
            ("40001", True), ("40P01", True), ("28P01", True), ("3D000", True), ("57014", True),
            ("23505", False), ("42P01", False), ("22003", False), ("XX000", False),
        ],
    )  # fmt: skip
    def test_states_of_postgresql(self, state: str, expected: bool) -> None:
        """The class of SQLSTATE decides, whatever SQLAlchemy wraps it in."""

        class DriverError(Exception):
            sqlstate = state

        for wrapper in (DBAPIError, IntegrityError, ProgrammingError):
            assert expected == is_unavailable(wrapper("SELECT 1", {}, DriverError("x")))


@pytest.fixture(autouse=True)
def _no_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No `.env` of whoever runs the tests."""
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        yield
