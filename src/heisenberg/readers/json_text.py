"""Decode a JSON report into Structs: fast when it is as expected, forgiving when it is not."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import msgspec
from msgspec.json import Decoder

from heisenberg.errors import MalformedError, TooLargeError
from heisenberg.readers.content import encoding_of, line_and_column, read_bytes

if TYPE_CHECKING:
    from heisenberg.model.run import Artefact

T = TypeVar("T", bound=msgspec.Struct)

MAX_BYTES = 1 << 30
"""A larger JSON report is refused: it has to be held in memory as a whole."""

_NOTHING = frozenset({b"", b"[]", b"null"})
_OFFSET = re.compile(r"\(byte (\d+)\)")
_SURROGATES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""Escaped backslashes and whole characters are passed over; what is left are halves."""


def decode(artefact: Artefact, kind: type[T]) -> T:
    """Read a file as one JSON object.

    Fields of the wrong type are dropped, rather than the report.

    Raises:
        MalformedError: It is not JSON, or ends early; the message tells line and column.
        TooLargeError: It is beyond `MAX_BYTES`, or nested too deeply.
        ReadError: It cannot be opened.
    """
    if artefact.size_bytes > MAX_BYTES:
        raise TooLargeError(
            f"JSON of {artefact.size_bytes >> 20} MB, over the limit of {MAX_BYTES >> 20} MB;"
            " report the shards on their own"
        )
    data = _utf8(read_bytes(artefact))
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        return _decode_leniently(data, kind)
    except UnicodeDecodeError:
        return _decode_leniently(data, kind)
    except RecursionError as error:
        raise TooLargeError("JSON is nested too deeply to be a test report") from error
    except msgspec.DecodeError as error:
        # Half a character is told of in several ways, one of them as the end of the data.
        if any(match[1] for match in _SURROGATES.finditer(data)):
            return _decode_leniently(data, kind)
        raise MalformedError(_where(data, str(error))) from error


def _utf8(data: bytes) -> bytes:
    """Convert to UTF-8 without a byte order mark."""
    encoding = encoding_of(data[:4])
    if encoding == "utf-8":
        return data
    try:
        return data.decode(encoding).lstrip("\ufeff").encode()
    except UnicodeError as error:
        raise MalformedError(f"not valid {encoding}: {error}; was the file cut off?") from error


def _where(data: bytes, message: str) -> str:
    """Say what is wrong with the JSON, and where."""
    if "truncated" in message:
        line, column = line_and_column(data, len(data))
        return (
            f"JSON ends early, at line {line}, column {column} (byte {len(data)});"
            " was the run or the upload cut off?"
        )
    place = _OFFSET.search(message)
    if place is None:
        return f"invalid JSON: {message}; was the file overwritten or encoded wrongly?"
    line, column = line_and_column(data, int(place[1]))
    what = message.replace("JSON is malformed: ", "").replace(f" {place[0]}", "")
    return f"invalid JSON at line {line}, column {column}: {what}; was the file cut or overwritten?"


def _without_lone_surrogates(data: bytes) -> bytes:
    """Replace escapes of half a character, as JavaScript writes for a cut string."""
    return _SURROGATES.sub(lambda match: rb"\ufffd" if match[1] else match[0], data)


def _valid(data: bytes) -> bytes:
    """Replace bytes that are no UTF-8."""
    return data.decode("utf-8", "replace").encode()


def _decode_leniently(data: bytes, kind: type[T]) -> T:
    """Decode without types first, then keep what fits them."""
    try:
        value = msgspec.json.decode(_without_lone_surrogates(_valid(data)))
    except RecursionError as error:
        raise TooLargeError("JSON is nested too deeply to be a test report") from error
    except msgspec.DecodeError as error:
        raise MalformedError(_where(data, str(error))) from error
    return salvage(value, kind)


def decode_part(raw: msgspec.Raw, kind: type[T]) -> list[T]:
    """Decode an array that was left undecoded; elements of another kind are dropped."""
    data = bytes(raw)
    if data in _NOTHING:
        return []
    try:
        return _array_decoder(kind).decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        value = msgspec.json.decode(_without_lone_surrogates(_valid(data)))
    except (msgspec.MsgspecError, RecursionError):
        return []
    return (
        [salvage(v, kind) for v in value if isinstance(v, dict)] if isinstance(value, list) else []
    )


@lru_cache
def _array_decoder(kind: type[T]) -> Decoder[list[T]]:
    """A decoder of arrays of one kind: building it takes longer than most arrays do."""
    return Decoder(list[kind])  # type: ignore[valid-type] # a variable


def salvage(value: object, kind: type[T]) -> T:
    """Build a Struct from what fits its fields; the rest keeps its defaults."""
    if not isinstance(value, dict):
        raise MalformedError(f"a JSON {type(value).__name__} where an object was expected")
    kept: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name in value:
            fitting = _fit(value[field.encode_name], field.type)
            if fitting is not msgspec.NODEFAULT:
                kept[field.name] = fitting
    return kind(**kept)


def _fit(value: object, kind: Any) -> Any:  # noqa: ANN401 (types as values)
    """Convert a value to a field's type, or return NODEFAULT."""
    if kind is msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(value))
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        pass
    inner = next((a for a in (kind, *get_args(kind)) if _is_struct(a)), None)
    if inner is None:
        return msgspec.NODEFAULT
    is_array = get_origin(kind) is list
    if is_array and isinstance(value, list):
        return [salvage(v, inner) for v in value if isinstance(v, dict)]
    if not is_array and isinstance(value, dict):
        return salvage(value, inner)
    return msgspec.NODEFAULT


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def as_object(raw: msgspec.Raw) -> dict[str, Any]:
    """Decode an object that was left undecoded; empty when it is something else."""
    try:
        value = msgspec.json.decode(_valid(bytes(raw)))
    except (msgspec.MsgspecError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
