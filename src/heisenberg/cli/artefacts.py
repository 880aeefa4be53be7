"""What the commands that read a run are given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ReportsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH",
        help="Test reports, or folders with them; formats are told by content, not by name.",
        show_default=False,
    ),
]
LogsOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="PATH",
        help="Log file, or folder with the services' logs; may be repeated.",
        show_default=False,
    ),
]
