"""The `heisenberg` command and what becomes of its errors."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from heisenberg import __version__, text
from heisenberg.cli import db
from heisenberg.cli.analyze import analyze
from heisenberg.cli.evaluate import evaluate
from heisenberg.cli.key import key
from heisenberg.cli.org import org
from heisenberg.cli.redact import redact
from heisenberg.cli.serve import serve
from heisenberg.errors import HeisenbergError

USAGE = 2
"""Exit code of bad usage, and of an analysis that cannot be made or delivered."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

# Help without rich: it starts in a third of the time and reads the same in a CI log.
app = typer.Typer(
    name="heisenberg",
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"heisenberg {__version__}")
        raise typer.Exit


@app.callback()
def heisenberg(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """What broke, whose is it, is it new, and how do you know."""


app.command()(analyze)
app.command(name="eval")(evaluate)
app.command()(redact)
app.command()(serve)
app.add_typer(db.app, name="db")
app.add_typer(org, name="org")
app.add_typer(key, name="key")


def main() -> None:
    """Run the command; every failure ends in one line on stderr."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line.

    Returns:
        The exit code: 0 done, 1 by `--fail-on`, 2 bad usage or nothing to read, 130 interrupted.
    """
    try:
        code = app(args=arguments, prog_name="heisenberg", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _fail(error.format_message().replace("Value error, ", ""), hint=True)
    except HeisenbergError as error:
        return _fail(str(error))
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    except MemoryError:
        return _fail("out of memory")
    except RecursionError:
        return _fail("the input is nested too deeply")
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        return _fail(_bug(error))
    return code if isinstance(code, int) else 0


def _bug(error: Exception) -> str:
    """What went wrong inside, where, and how to see more."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"internal error at {Path(frame.filename).name}:{frame.lineno}: "
        f"{type(error).__name__}: {error}; this is a bug, "
        "`python -X dev -m heisenberg` with the same arguments shows its traceback"
    )


def _fail(message: str, *, hint: bool = False) -> int:
    """Say on stderr, in one line, why the command could not be carried out."""
    line = text.one_line(message)
    if hint:
        line = f"{line.rstrip('.')}; see heisenberg --help"
    typer.echo(f"heisenberg: {line}", err=True)
    return USAGE
