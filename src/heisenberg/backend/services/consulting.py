"""The models that the service asks: made once, shared by all requests, paid by each organization."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from heisenberg.backend.logging import get_logger
from heisenberg.backend.retry import retry_from_settings
from heisenberg.backend.services.model_answers import DatabaseAnswers
from heisenberg.backend.services.spending import DatabaseLedger
from heisenberg.diagnosis.circuit import Circuit
from heisenberg.diagnosis.consult import Consultant
from heisenberg.diagnosis.prices import load_prices
from heisenberg.diagnosis.provider import Access
from heisenberg.diagnosis.providers.registry import make_provider, split_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from pydantic import SecretStr

    from heisenberg.backend.config import Settings
    from heisenberg.backend.database import Database
    from heisenberg.backend.metrics import Metrics
    from heisenberg.backend.services.calibration import Calibrations
    from heisenberg.diagnosis.consult import Consultation
    from heisenberg.model.question import Question

log = get_logger(__name__)


class Models:
    """The chain of models of the settings, each behind a circuit that all requests share."""

    def __init__(
        self, settings: Settings, database: Database, metrics: Metrics, calibrations: Calibrations
    ) -> None:
        """Make the providers; nothing is connected.

        Raises:
            UsageError: The settings name no model that can be asked.
            EngineAuthenticationError: A key is missing.
        """
        self._settings = settings
        self._database = database
        self._metrics = metrics
        self._calibrations = calibrations
        self._prices = load_prices(settings.model_prices)
        self._circuits = [
            Circuit(
                make_provider(name, _access(settings, name, is_first=number == 0)),
                failures=settings.model_circuit_failures,
                open_s=settings.model_circuit_open_s,
            )
            for number, name in enumerate(settings.model)
        ]
        self._turns = asyncio.Semaphore(settings.model_concurrency)  # of all requests together
        for circuit in self._circuits:
            metrics.watch_circuit(circuit.name, partial(_is_open, circuit))

    @property
    def context_tokens(self) -> int:
        """Budget of a question."""
        return self._settings.model_context_tokens

    async def consult(
        self, organization_id: UUID, test_run_id: UUID, questions: Sequence[Question]
    ) -> Consultation:
        """Have the questions about a run answered; whatever goes wrong is told, not raised."""
        settings = self._settings
        calibrations = {
            circuit.name: await self._calibrations.get(organization_id, circuit.name)
            for circuit in self._circuits
        }
        answers = DatabaseAnswers(settings, self._database, self._metrics, organization_id)
        consultant = Consultant(
            self._circuits,
            prices=self._prices,
            answers=answers,
            ledger=DatabaseLedger(
                settings, self._database, self._metrics, organization_id, test_run_id=test_run_id
            ),
            retrying=retry_from_settings(settings, self._metrics.retried),
            max_output_tokens=settings.model_output_tokens,
            turns=self._turns,
            deadline_s=settings.model_deadline_s,
            calibrate=calibrations.__getitem__,
            on_error=_log_own,
        )
        try:
            return await consultant.consult(questions)
        finally:
            await asyncio.shield(answers.close())

    async def close(self) -> None:
        """Give up the connections."""
        for circuit in self._circuits:
            await circuit.close()


def _is_open(circuit: Circuit) -> bool:
    return circuit.is_open


def _log_own(error: Exception) -> None:
    log.error("consulting.failed", consequence="the diagnosis goes on without it", exc_info=error)


def _access(settings: Settings, name: str, *, is_first: bool) -> Access:
    """How to reach the model; `model_url` is the address of the first one."""
    provider = split_name(name)[0]
    key: SecretStr | None = getattr(settings, f"{provider}_api_key")
    url: str | None = getattr(settings, f"{provider}_base_url")
    return Access(
        api_key=key.get_secret_value() if key else "",
        base_url=(settings.model_url if is_first else None) or url or "",
        timeout_s=settings.model_timeout_s,
    )
