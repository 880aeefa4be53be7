"""A worker that goes wrong as the repository of its request says."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from heisenberg.backend.services import material, work, worker

if TYPE_CHECKING:
    from heisenberg.backend.analyze_schemas import AnalyzeRequest
    from heisenberg.backend.services.material import Material

_lay_out = material.lay_out


def lay_out(request: AnalyzeRequest, folder: Path) -> Material:
    """Do what `what:argument` says, or what the real one does."""
    what, _, argument = request.repository.partition(":")
    match what:
        case "hang":
            _tell(argument)
            time.sleep(600)
        case "hang-once" if not Path(argument).exists():
            _tell(argument)
            time.sleep(600)
        case "exit":
            os._exit(3)
        case "spin":
            _tell(argument)
            while True:
                pass
        case "eat":
            request.branch = "x" * (8 << 30)
        case "raise":
            raise RuntimeError(argument)
    return _lay_out(request, folder)


def _tell(path: str) -> None:
    """Write who hangs, all at once."""
    Path(f"{path}.new").write_text(str(os.getpid()), encoding="ascii")
    Path(f"{path}.new").rename(path)


if __name__ == "__main__":
    vars(work)["lay_out"] = lay_out
    worker.main(msgspec.json.decode(sys.argv[1], type=worker.Terms))
