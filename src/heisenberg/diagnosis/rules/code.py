"""What a test's source line does, as far as a rule needs to know."""

from __future__ import annotations

import re

SLEEP = re.compile(
    r"waitForTimeout\([^)]*\)|wait_for_timeout\([^)]*\)|\bu?sleep\([^)]*\)|Thread\.sleep\([^)]*\)"
    r"|cy\.wait\(\d[^)]*\)|setTimeout\([^)]*\)|time\.Sleep\([^)]*\)|Task\.Delay\([^)]*\)"
)
"""Waits for a fixed time."""
DRAWN = re.compile(r"random|faker|shuffle|\bsample\(|uuid|nonce|choice\(", re.IGNORECASE)
"""Leaves something to chance."""
