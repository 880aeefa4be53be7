"""The models that the service asks: made once, shared by all requests, paid by each organization."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

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
        consultant = Consultant(
            self._circuits,
            prices=self._prices,
            answers=DatabaseAnswers(settings, self._database, self._metrics, organization_id),
            ledger=DatabaseLedger(
                settings, self._database, self._metrics, organization_id, test_run_id=test_run_id
            ),
            retrying=retry_from_settings(settings, self._metrics.retried),
            max_output_tokens=settings.model_output_tokens,
            concurrency=settings.model_concurrency,
            calibrate=calibrations.__getitem__,
        )
        return await consultant.consult(questions)

    async def close(self) -> None:
        """Give up the connections."""
        for circuit in self._circuits:
            await circuit.close()


def _is_open(circuit: Circuit) -> bool:
    return circuit.is_open


def _access(settings: Settings, name: str, *, is_first: bool) -> Access:
    """How to reach the model; the address in the settings is that of the first one."""
    keys: dict[str, SecretStr | None] = {
        "anthropic": settings.anthropic_api_key,
        "openai": settings.openai_api_key,
        "gemini": settings.gemini_api_key,
        "compatible": settings.compatible_api_key,
    }
    key = keys.get(split_name(name)[0])
    return Access(
        api_key=key.get_secret_value() if key else "",
        base_url=(settings.model_url or "") if is_first else "",
        timeout_s=settings.model_timeout_s,
    )
