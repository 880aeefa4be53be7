"""Whose fault a database error is: the server's, for now, or our own."""

from __future__ import annotations

import sqlite3
from traceback import walk_tb

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

UNAVAILABLE_STATES = (
    "08",  # connection lost or never made
    "28",  # it does not let us in
    "3D",  # the database is not there
    "40",  # serialization failure, deadlock: another try may do
    "53",  # out of connections, memory or disk
    "55P03",  # lock not available
    "57",  # shutting down, starting up, statement timeout
    "58",  # its own input and output failed
    "25P03",  # idle in transaction for too long
)
"""How SQLSTATE begins when the server, and not the statement, is at fault."""
_SQLITE_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_INTERRUPT,
    }
)
_PRIMARY_CODE = 0xFF
"""SQLite's extended codes hold the primary one in their last byte."""
_DRIVERS = ("asyncpg", "sqlalchemy")


def is_unavailable(error: BaseException) -> bool:
    """Whether the database, and neither the request nor our code, is at fault; another try may do.

    A statement that is wrong, or breaks a constraint, is our fault. An `OSError`, a timeout among
    them, counts when it came out of the driver.

    Source:
        PostgreSQL, appendix A, "Error codes"; SQLite, "Result and error codes".
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_unavailable(member) for member in error.exceptions)
    if isinstance(error, PoolTimeoutError):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _is_servers(error.orig)
    if isinstance(error, OSError):
        modules = (f.f_globals.get("__name__", "") for f, _ in walk_tb(error.__traceback__))
        return any(module.partition(".")[0] in _DRIVERS for module in modules)
    return _is_servers(error)


def told(error: BaseException) -> dict[str, object]:
    """What a log line tells of an error that the service outlives: its trace, if it is ours."""
    is_away = isinstance(error, TimeoutError) or is_unavailable(error)
    name = type(error).__name__
    return {"error": name} if is_away else {"error": name, "exc_info": error}


def _is_servers(error: BaseException | None) -> bool:
    """Whether a driver's error tells of trouble on the server's side."""
    state = getattr(error, "sqlstate", None)
    if state:
        return str(state).startswith(UNAVAILABLE_STATES)
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & _PRIMARY_CODE in _SQLITE_CODES
    return False
