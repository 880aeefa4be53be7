"""One JSON object a line on standard error, with the request it belongs to and no secrets.

Everything goes through one pipe: our loggers, those of the standard library (uvicorn, alembic and
asyncio among them) and warnings. Standard error, because commands print their answers, an API key
among them, on standard output.

The request's id is a context variable: tasks that the request starts, `asyncio.to_thread` and
`anyio.to_thread` have it. A thread of a bare executor has it when it is given
`contextvars.copy_context().run` to run; no logger can do that for it.
"""

from __future__ import annotations

import io
import logging
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from traceback import walk_tb
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec
import structlog

from heisenberg import text
from heisenberg.redact import REDACTED, is_secret_name, may_hold_secrets, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from structlog.typing import EventDict, FilteringBoundLogger, Processor

    from heisenberg.backend.config import Settings

MAX_LINE_BYTES = 16_000
"""A longer line is written with its texts cut; Docker splits lines at 16 KiB."""
MAX_WHOLE_BYTES = 1 << 18
"""A line that is still longer tells only what it left out."""
MAX_CHARS = 2000
"""Of one text, in a line that has to be made to fit or is searched for secrets."""
MAX_ITEMS = 50
"""Of one list or mapping, likewise."""
MAX_DEPTH = 6
MAX_FRAMES = 30
"""Of one exception's traceback: the innermost, which tell most."""
MAX_CAUSES = 8
MAX_INNOCENT = 10_000
"""Names that are remembered; those of a program are a few hundred."""

_LEVELS: Final = structlog.processors.NAME_TO_LEVEL
_OWN: Final = frozenset({"timestamp", "level", "logger", "event", "request_id"})
_BLOCKS: Final = frozenset({"exception", "stack", "exc_info"})
"""Facts of these names the console renderer would put on lines of their own."""
_SCALARS: Final = frozenset({float, bool, type(None)})
_QUIET: Final = {
    # At INFO and DEBUG these write every statement with its parameters.
    "sqlalchemy": logging.WARNING,
    "aiosqlite": logging.WARNING,
    # It tells of each of its parts that it loads.
    "alembic.runtime.plugins": logging.WARNING,
    # AccessLogMiddleware writes the access lines.
    "uvicorn.access": logging.WARNING,
}
_RECORD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",  # uvicorn's, with terminal escapes
}

request_id_ctx: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request being served; empty outside one."""
_facts_ctx: ContextVar[Mapping[str, Any] | None] = ContextVar("log_facts", default=None)


@dataclass(slots=True)
class _Pipe:
    """How lines are written now."""

    level: int = logging.WARNING
    json_format: bool = False
    stream: IO[Any] | None = None
    """Standard error, whatever it is at that moment, when None."""
    processors: Sequence[Processor] = ()
    lost: int = 0
    """Lines that could not be written."""
    told: set[str] = field(default_factory=set)
    """Unknown variables that were warned of."""
    console: structlog.dev.ConsoleRenderer = field(
        default_factory=lambda: structlog.dev.ConsoleRenderer(colors=False)
    )


_pipe = _Pipe()
_encode = msgspec.json.Encoder().encode


def configure_logging(
    log_level: str = "INFO",
    json_format: bool = True,
    *,
    stream: IO[Any] | None = None,
    processors: Sequence[Processor] = (),
) -> None:
    """Decide how all loggers of this process write, those made already too.

    Args:
        log_level: Least severe level that is written.
        json_format: One JSON object a line; else lines for people.
        stream: Where to, text or binary; standard error when not given.
        processors: Add facts to a line, such as ids of a trace, before it is written.
    """
    level = _LEVELS[log_level.lower()]
    _pipe.level = level
    _pipe.json_format = json_format
    _pipe.stream = stream
    _pipe.processors = tuple(processors)
    out = stream or sys.stderr
    _pipe.console = structlog.dev.ConsoleRenderer(
        colors=bool(getattr(out, "isatty", bool)()), sort_keys=False
    )
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _Handler) or type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    root.addHandler(_Handler())
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, level))
    # Anew: whoever saved and restored `warnings.showwarning` meanwhile has undone it.
    logging.captureWarnings(capture=False)
    logging.captureWarnings(capture=True)


def configure_from_settings(settings: Settings, processors: Sequence[Processor] = ()) -> None:
    """Write as the settings say, and warn, once, of variables that look like settings and are none."""
    # Here, because worker processes log too, need no settings, and start in a fifth of the time.
    from heisenberg.backend.config import LogFormat, unknown_variables  # noqa: PLC0415

    configure_logging(
        settings.log_level, settings.log_format is LogFormat.JSON, processors=processors
    )
    unknown = [name for name in unknown_variables() if name not in _pipe.told]
    if unknown:
        log.warning("settings.unknown", variables=unknown)
        _pipe.told.update(unknown)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger that carries its name; it follows `configure_logging`, before and after."""
    logger: FilteringBoundLogger = _Logger(_Sink(name), _PROCESSORS, {})
    return logger


def plain_logger(name: str) -> Callable[[str, str, dict[str, Any]], None]:
    """A quick way to the pipe for lines that every request writes.

    Args:
        name: As the lines tell it.

    Returns:
        Writes a line, given its level, its event and its facts. The facts have to be numbers and short
        texts that hold no secret whatever a client sends: nothing is searched or cut.
    """
    usual, sink = get_logger(name), _Sink(name)

    def write(level: str, event: str, facts: dict[str, Any]) -> None:
        if _LEVELS[level] < _pipe.level:
            return
        whole = _pipe.processors or _facts_ctx.get() or _PROCESSORS[-1] is not _render
        if whole or not _pipe.json_format:
            getattr(usual, level)(event, **facts)
            return
        line = {"timestamp": _now(), "level": level, "logger": name, "event": event}
        if request_id := request_id_ctx.get():
            line["request_id"] = request_id
        line.update(facts)
        sink.write(_encode(line) + b"\n")

    return write


@contextmanager
def log_context(**facts: object) -> Iterator[None]:
    """Put the facts on every line that is written inside, by tasks started inside too."""
    token = _facts_ctx.set({**(_facts_ctx.get() or {}), **facts})
    try:
        yield
    finally:
        _facts_ctx.reset(token)


class _Sink:
    """The end of the pipe, under the name of one logger."""

    __slots__ = ("name",)

    def __init__(self, name: str = "") -> None:
        self.name = name

    def write(self, line: bytes) -> None:
        """Write one line; what the stream cannot take is lost, and nobody fails for it."""
        stream: Any = _pipe.stream or sys.stderr
        try:
            binary = getattr(stream, "buffer", None)
            if binary is None:
                binary = stream
                if isinstance(stream, io.TextIOBase):
                    line = line.decode()  # type: ignore[assignment]  # it takes text
            binary.write(line)
            binary.flush()
        except (OSError, ValueError, AttributeError):
            _pipe.lost += 1  # closed, a pipe that nobody reads, or no standard error at all

    notset = debug = info = warning = error = critical = write


class _Handler(logging.Handler):
    """Leads the standard library's loggers into the pipe."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; a broken one is written as well as can be."""
        facts = {k: v for k, v in vars(record).items() if k not in _RECORD_FIELDS}
        try:
            facts["event"] = record.getMessage().strip()
        except (TypeError, ValueError, KeyError):  # its arguments do not fit its format
            facts["event"] = str(record.msg)
        if record.exc_info:
            facts["exc_info"] = record.exc_info
        sink = _Sink(record.name)
        method = next((name for least, name in _NAMES if record.levelno >= least), "debug")
        with suppress(structlog.DropEvent):
            sink.write(_render(sink, method, _add_context(sink, method, facts)))


_NAMES: Final = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
)


def add_request_id(_: object, __: str, facts: EventDict) -> EventDict:
    """Add the id of the request that is being served, if one is; a processor of structlog's."""
    if request_id := request_id_ctx.get():
        facts["request_id"] = request_id
    return facts


def _add_context(sink: _Sink, method: str, facts: EventDict) -> EventDict:
    """Drop what is below the level; add the request's id and the facts of `log_context`."""
    if _LEVELS[method] < _pipe.level:
        raise structlog.DropEvent
    facts = add_request_id(sink, method, facts)
    bound = _facts_ctx.get()
    if bound:
        facts = {**bound, **facts}
    for processor in _pipe.processors:
        facts = processor(sink, method, facts)  # type: ignore[assignment]  # it adds facts
    return facts


def _render(sink: _Sink, method: str, facts: EventDict) -> bytes:
    """Write the line; whatever the facts are, this raises nothing."""
    line: dict[str, Any] = {"timestamp": _now(), "level": method, "logger": sink.name}
    try:
        error = _error(facts.pop("exc_info", None))
        simple = error is None and _pipe.json_format and _is_simple(facts)
        line["event"] = facts.pop("event", "")
        if "request_id" in facts:
            line["request_id"] = facts.pop("request_id")
        if not _OWN.isdisjoint(facts):  # a fact cannot pass for what the pipe says
            facts = {f"{k}_" if k in _OWN else k: v for k, v in facts.items()}
        line.update(facts)
        if simple:
            written = _encode(line)
            if len(written) < MAX_LINE_BYTES:
                return written + b"\n"
        return (_json if _pipe.json_format else _console)(line, error)
    except Exception as problem:  # noqa: BLE001 (a fact's own code may raise anything)
        line = {k: line[k] for k in ("timestamp", "level", "logger")}
        line |= {"event": "log.line_lost", "error": type(problem).__name__}
        return _encode(line) + b"\n"


def _now() -> str:
    """UTC to the microsecond; the part down to the second is written once a second."""
    global _second  # noqa: PLW0603 (a cache, replaced whole)
    seconds, ns = divmod(time.time_ns(), 1_000_000_000)
    known, written = _second
    if known != seconds:
        written = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _second = seconds, written
    return f"{written}.{ns // 1000:06d}Z"


_second: tuple[int, str] = (0, "")


def _is_simple(facts: Mapping[str, Any]) -> bool:
    """Whether the facts can be written as they are: plain values, no secret; nearly all can."""
    texts: list[str] = []
    if not _gather(facts, texts, MAX_DEPTH):
        return False
    joined = " ".join(texts)
    return not may_hold_secrets(joined) and text.replace_surrogates(joined) == joined


def _are_innocent(names: Iterable[object]) -> bool:
    """Whether none of the names is a secret's, or hard to write; those are remembered."""
    for name in names:
        if type(name) is not str or not name.isascii():
            return False
        if is_secret_name(name) or redact(name) != name:
            return False
        if len(_innocent) < MAX_INNOCENT:
            _innocent.add(name)
    return True


def _gather(facts: Mapping[Any, Any], texts: list[str], depth: int) -> bool:
    """Collect the texts to be searched; whether all else is plain, and no name a secret's."""
    if not (facts.keys() <= _innocent or _are_innocent(facts)):
        return False
    for value in facts.values():
        kind = type(value)
        if kind is str:
            texts.append(value)
        elif kind is int:
            if not -(1 << 63) <= value < 1 << 63:
                return False
        elif kind is dict or kind is list:
            inner = value if kind is dict else {str(n): item for n, item in enumerate(value)}
            if depth == 0 or len(value) > MAX_ITEMS or not _gather(inner, texts, depth - 1):
                return False
        elif kind not in _SCALARS:
            return False
    return True


_innocent: set[str] = set()
"""Names of facts that were found to be no secret's."""


def _json(line: Mapping[str, Any], error: BaseException | None) -> bytes:
    """The line with every value made simple, short and free of secrets."""
    clean = _plain(line, 0)
    if error is not None:
        clean["exception"] = _exception(error)
    written = _encode(clean)
    if len(written) > MAX_WHOLE_BYTES:
        own = {name: value for name, value in clean.items() if name in _OWN}
        written = _encode(own | {"left_out": list(islice(clean.keys() - _OWN, MAX_ITEMS))})
    return written + b"\n"


def _console(line: Mapping[str, Any], error: BaseException | None) -> bytes:
    """The line for people: nothing in it can steer their terminal or pass for another line."""
    shown = {text.visible(k): _shown(v) for k, v in _plain(line, 0).items()}
    clean = {f"{k}_" if k in _BLOCKS else k: v for k, v in shown.items()}
    written = str(_pipe.console(None, "", clean))
    if error is not None:
        written += "\n" + text.visible_block(_traceback(_exception(error)))
    return written.encode(errors="replace") + b"\n"


def _shown(value: object) -> str:
    return text.visible(value if isinstance(value, str) else repr(value))


def _plain(value: object, depth: int) -> Any:  # noqa: ANN401 (what JSON can hold)
    """The value as JSON can hold it: cut where it is long, its secrets redacted."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 63 else _text(str(value))
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (bytes, bytearray)):
        return _text(bytes(value[:MAX_CHARS]).decode(errors="backslashreplace"))
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {
            (name := _text(_told(key))): REDACTED
            if is_secret_name(name) and not (item is None or isinstance(item, bool))
            else _plain(item, depth + 1)
            for key, item in islice(value.items(), MAX_ITEMS)
        }
    if depth < MAX_DEPTH and isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, depth + 1) for item in islice(value, MAX_ITEMS)]
    return _text(_told(value))


def _text(value: str) -> str:
    """Cut, without secrets, and such that UTF-8 can carry it."""
    value = text.replace_surrogates(value)
    # Cut last: half of a secret would not be known for one.
    value = value[: 4 * MAX_CHARS]
    if may_hold_secrets(value):
        value = redact(value)
    return value if len(value) <= MAX_CHARS else value[:MAX_CHARS] + text.ELLIPSIS


def _told(value: object) -> str:
    """What an object says of itself, if it can."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 (its own code may raise anything)
        return f"<{type(value).__name__}>"


def _error(exc_info: object) -> BaseException | None:
    """The exception that a caller means by `exc_info`."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1] if exc_info else None


def _exception(error: BaseException, depth: int = 0) -> dict[str, Any]:
    """An exception as facts: what, where, and what it came from; no values of variables."""
    facts = _one_exception(error)
    causes: list[dict[str, Any]] = []
    seen = {id(error)}
    while len(causes) < MAX_CAUSES:
        cause = error.__cause__
        if cause is None and not error.__suppress_context__:
            cause = error.__context__
        if cause is None or id(cause) in seen:
            break
        seen.add(id(cause))
        causes.append(_one_exception(cause, depth))
        error = cause
    if causes:
        facts["causes"] = causes
    return facts


def _one_exception(error: BaseException, depth: int = 0) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "type": type(error).__qualname__,
        "module": type(error).__module__,
        "message": _text(_told(error)),
        "frames": _frames(error.__traceback__),
    }
    if isinstance(error, BaseExceptionGroup) and depth < MAX_DEPTH:
        members = error.exceptions[:MAX_ITEMS]
        facts["exceptions"] = [_exception(member, depth + 1) for member in members]
    return facts


def _frames(trace: TracebackType | None) -> list[dict[str, Any]]:
    """Innermost last."""
    frames = deque(walk_tb(trace), MAX_FRAMES)
    return [
        {"file": _text(f.f_code.co_filename), "line": line, "function": f.f_code.co_name}
        for f, line in frames
    ]


def _traceback(facts: Mapping[str, Any]) -> str:
    """An exception's facts for people, the cause first, as Python tells it."""
    told = [_traceback(cause) for cause in reversed(facts.get("causes", []))]
    own = [f"  {frame['file']}:{frame['line']} in {frame['function']}" for frame in facts["frames"]]
    own.append(f"  {facts['type']}: {text.visible(facts['message'])}")
    own += [_traceback(member) for member in facts.get("exceptions", [])]
    return "\n".join([*told, *own])


_PROCESSORS: list[Processor] = [_add_context, _render]
# Of every level: `_add_context` knows which are written.
_Logger: Any = structlog.make_filtering_bound_logger(logging.NOTSET)
# Whoever asks structlog itself for a logger gets one of this pipe.
structlog.configure(
    processors=_PROCESSORS,
    wrapper_class=_Logger,
    context_class=dict,
    logger_factory=_Sink,
    cache_logger_on_first_use=True,
)

log = get_logger(__name__)
