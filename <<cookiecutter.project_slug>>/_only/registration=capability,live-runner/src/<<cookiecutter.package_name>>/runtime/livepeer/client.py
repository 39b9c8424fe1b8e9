"""Calls to the orchestrator."""

from typing import Literal, Self

import aiohttp

from ..settings import Settings
from .settings import OrchestratorSettings
from .tls import TlsSettings

RESPONSE_SECONDS = 3
MAX_RESPONSE_BYTES = 1_048_576

type Outcome = Literal["refused", "unreachable", "invalid"]


class OrchestratorError(Exception):
    """A call without success. The message contains no secret; `status` is that of a refusal."""

    def __init__(self, outcome: Outcome, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.outcome: Outcome = outcome
        self.status = status


class OrchestratorClient:
    """HTTP client for the orchestrator, with limits on time and size; its errors contain no
    secrets.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings[OrchestratorSettings].orchestrator_url
        self._tls = settings[TlsSettings].tls

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=RESPONSE_SECONDS)
        self._http = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def post(self, path: str, body: bytes, secret: str) -> bytes:
        """The body of a successful response. Raises OrchestratorError.

        The secret is sent without `Bearer` (byoc/job_orchestrator.go and
        ai/runner/live_runner.go). Redirects are refused, because the secret is for this address
        alone.
        """
        headers = {"Authorization": secret, "Content-Type": "application/json"}
        try:
            async with self._http.post(
                f"{self._url}{path}",
                data=body,
                headers=headers,
                ssl=self._tls,
                allow_redirects=False,
            ) as response:
                if not 200 <= response.status < 300:
                    reason = f"the orchestrator answers {response.status}"
                    if response.status in (400, 401):
                        reason += ": is BYOC_ORCHESTRATOR_SECRET its -orchSecret?"
                    raise OrchestratorError("refused", reason, response.status)
                return await read(response.content)
        except TimeoutError:
            reason = f"the orchestrator did not answer within {RESPONSE_SECONDS} s"
            raise OrchestratorError("unreachable", reason) from None
        except (aiohttp.ClientError, OSError) as error:
            # Other errors are named by their type alone, because their text may repeat the request.
            connecting = isinstance(error, aiohttp.ClientConnectorError)
            cause = str(error) if connecting else type(error).__name__
            reason = f"the orchestrator can't be reached at {self._url}: {cause}"
            raise OrchestratorError("unreachable", reason) from None


async def read(content: aiohttp.StreamReader) -> bytes:
    """Raises OrchestratorError past MAX_RESPONSE_BYTES."""
    data = b""
    async for chunk in content.iter_any():
        data += chunk
        if len(data) > MAX_RESPONSE_BYTES:
            reason = f"the orchestrator answers more than {MAX_RESPONSE_BYTES} bytes"
            raise OrchestratorError("invalid", reason)
    return data
