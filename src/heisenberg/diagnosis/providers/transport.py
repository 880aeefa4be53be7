"""A client for HTTP that reads answers to a limit, and follows nobody elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import httpx2

from heisenberg.errors import EngineAnswerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_ANSWER_BYTES = 4 << 20
"""Of a body. An answer of 2,000 tokens is 20 kB; what a weak model thinks aloud may be 50 times that."""
CONNECT_TIMEOUT_S = 5.0
"""For TCP and TLS each; whoever is there answers within a few round trips."""


class BoundedClient(httpx2.AsyncClient):
    """What the SDKs send through. Proxies are taken from the environment, as they do themselves.

    A redirection is not followed: it would take the prompt to wherever it says.
    """

    def __init__(self, timeout_s: float) -> None:
        """Set the limits.

        Args:
            timeout_s: For each step but the connection; a whole answer is bounded by the caller.
        """
        super().__init__(
            timeout=httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            follow_redirects=False,
            # A few bytes may decompress to any number of them.
            headers={"Accept-Encoding": "identity"},
        )

    async def send(
        self,
        request: httpx2.Request,
        *,
        stream: bool = False,
        **options: Any,  # noqa: ANN401 (the client's own)
    ) -> httpx2.Response:
        """Send a request, and read the answer as far as `MAX_ANSWER_BYTES`.

        Raises:
            EngineAnswerError: It is longer, or compressed though that was not asked for.
        """
        response = await super().send(request, stream=True, **options)
        try:
            response.stream = _Bounded(response)
            if not stream:
                await response.aread()
        except BaseException:
            await response.aclose()
            raise
        return response


class _Bounded(httpx2.AsyncByteStream):
    """The bytes of an answer's stream, up to the limit."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        # An asynchronous client has no other streams.
        self._stream = cast("httpx2.AsyncByteStream", response.stream)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._response.headers.get("content-encoding", "").lower() not in {"", "identity"}:
            raise EngineAnswerError("the answer is compressed, which was not asked for")
        left = MAX_ANSWER_BYTES
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise EngineAnswerError(f"the answer is longer than {MAX_ANSWER_BYTES >> 20} MiB")
            yield chunk

    async def aclose(self) -> None:
        """Give up the connection."""
        await self._stream.aclose()
