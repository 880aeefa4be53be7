"""The registry: one line a rule. A rule looks at the context and claims something, or nothing."""

from __future__ import annotations

from collections.abc import Callable

from heisenberg.diagnosis.claim import Claim
from heisenberg.diagnosis.context import Context
from heisenberg.diagnosis.rules import environment, outages, page, services, values, waiting

Rule = Callable[[Context], Claim | None]

RULES: tuple[Rule, ...] = (
    outages.outage,
    outages.died,
    outages.crashed,
    services.raced,
    services.named_trouble,
    services.unhandled_exception,
    services.backend_error,
    services.refused_request,
    services.slow_request,
    page.selector_drift,
    page.ambiguous_locator,
    page.text_not_shown,
    page.element_not_ready,
    page.script_error,
    values.wrong_number,
    values.wrong_text,
    values.lost_update,
    values.left_over_data,
    values.wrong_time,
    values.other_order,
    values.wrong_status,
    values.wrong_value,
    waiting.fixed_sleep,
    waiting.read_too_early,
    waiting.raced_page,
    waiting.short_budget,
    waiting.ran_out_of_time,
    environment.unreachable,
    environment.named_trouble,
    environment.output_error,
    environment.crashed,
    environment.suite_code,
    environment.suite_setup,
)
"""In the order in which their claims are read; the engine weighs, so the order does not decide."""
