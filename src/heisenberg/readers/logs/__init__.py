"""Read the logs of services: any format, only the lines around the time that is asked about."""

from __future__ import annotations

from heisenberg.readers.logs.linecount import count_lines
from heisenberg.readers.logs.log import Log, open_log
from heisenberg.readers.logs.sniffing import sniff

__all__ = ["Log", "count_lines", "open_log", "sniff"]
