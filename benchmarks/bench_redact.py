"""Measure redaction: megabytes a second, recall of planted secrets, false hits in ordinary lines.

    python benchmarks/bench_redact.py [FOLDER...] [--mb 50] [--rounds 20]

FOLDERs hold more logs, beside those of the tests. The limit is a search for one character; the peer is
`detect-secrets`, which only finds, with all its plugins and filters on a file. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

from heisenberg.redact import Kind, Redactor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from planted_secrets import plant  # tests/ is no package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DATA = Path(__file__).parents[1] / "tests" / "data"
BLOCK = 1 << 16
PEER_LINES = 20_000
"""It takes milliseconds for each."""


def main() -> None:
    """Measure all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--mb", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    paths = [p for folder in (DATA, *options.folders) for p in sorted(folder.rglob("logs/*"))]
    lines = [
        line
        for path in paths
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    ]
    speed(lines, options.mb * 1_000_000)
    recall(options.rounds)
    false_hits(lines)


def speed(lines: list[str], size: int) -> None:
    """Megabytes a second of processor time, by what is fed at once."""
    once = sum(map(len, lines))
    lines = lines * (size // once + 1)
    whole = "".join(lines)
    limit = len(whole) / spent(lambda: sum(1 for _ in re.finditer("\x07", whole)))
    print(f"| {len(whole) / 1e6:.0f} MB of logs, fed as | MB/s | to the limit |\n|---|---:|---:|")
    print(f"| `re.finditer` of one character: the limit | {limit / 1e6:,.0f} | 1 |")
    for name, texts in (("whole lines", lines), ("blocks of 64 KiB", list(blocks(lines)))):
        rate = len(whole) / spent(lambda texts=texts: feed(texts))  # type: ignore[misc]
        print(f"| {name} | {rate / 1e6:,.0f} | {rate / limit:.3f} |")
    few = lines[:: max(1, len(lines) // PEER_LINES)]
    rate = sum(map(len, few)) / spent(lambda: peer_hits(few), 1)
    print(f"| detect-secrets, a file | {rate / 1e6:,.2f} | {rate / limit:.5f} |\n")


def feed(texts: Iterable[str]) -> None:
    """Redact all of one run."""
    redactor = Redactor()
    for text in texts:
        redactor(text)


def blocks(lines: list[str]) -> Iterable[str]:
    """The lines in blocks that end with a line."""
    block: list[str] = []
    size = 0
    for line in lines:
        block.append(line)
        size += len(line)
        if size >= BLOCK:
            yield "".join(block)
            block, size = [], 0
    yield "".join(block)


def recall(rounds: int) -> None:
    """Share of planted secrets of which nothing is left, by kind."""
    total, found, peers = Counter[str](), Counter[str](), Counter[str]()
    all_planted = list(plant(random.Random(1), rounds))
    for planted in all_planted:
        left = Redactor()(planted.text)
        total[planted.kind] += 1
        found[planted.kind] += not any(e in left for e in (planted.secret[:8], planted.secret[-8:]))
    hit = peer_hits([planted.text for planted in all_planted])
    peers.update(planted.kind for n, planted in enumerate(all_planted) if n in hit)
    print("| Planted | secrets | found | by detect-secrets |\n|---|---:|---:|---:|")
    for kind in Kind:
        share, peer = found[kind] / total[kind], peers[kind] / total[kind]
        print(f"| {kind} | {total[kind]:,} | {share:.3f} | {peer:.3f} |")
    whole, hits = total.total(), found.total()
    print(f"| all | {whole:,} | {hits / whole:.4f} | {peers.total() / whole:.3f} |\n")


def false_hits(lines: list[str]) -> None:
    """Lines that change, by kind; the logs are known to hold addresses, and no other secret."""
    counts = Counter[Kind]()
    for line in lines:
        redactor = Redactor()
        redactor(line)
        counts.update(redactor.counts)
    peers = len(peer_hits(lines))
    wrong = counts.total() - counts[Kind.EMAIL]
    print("| Ordinary lines | lines | e-mail addresses | other hits | a thousand lines |")
    print("|---|---:|---:|---:|---:|")
    rate = wrong / len(lines) * 1000
    print(f"| ours | {len(lines):,} | {counts[Kind.EMAIL]} | {wrong} | {rate:.2f} |")
    print(f"| detect-secrets | {len(lines):,} | | {peers} | {peers / len(lines) * 1000:.2f} |")


def peer_hits(texts: list[str]) -> set[int]:
    """Which of the texts the peer finds something in."""
    owners: dict[int, int] = {}
    written: list[str] = []
    for number, text in enumerate(texts):
        parts = text.splitlines() or [""]
        owners |= {len(written) + n: number for n in range(1, len(parts) + 1)}
        written += parts
    with tempfile.NamedTemporaryFile("w", suffix=".log", encoding="utf-8") as file:
        file.write("\n".join(written))
        file.flush()
        with default_settings():
            return {owners[hit.line_number] for hit in scan_file(file.name)}


def spent(run: Callable[[], object], times: int = 3) -> float:
    """Least processor seconds of a few runs."""
    taken = []
    for _ in range(times):
        begin = time.process_time()
        run()
        taken.append(time.process_time() - begin)
    return min(taken)


if __name__ == "__main__":
    main()
