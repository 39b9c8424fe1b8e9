"""The orchestrator's door: every call bounded in time and size, and safe to tell of."""

from typing import Literal, Self

import aiohttp

from .announcing import Announcing

ANSWER_SECONDS = 3
MAX_ANSWER_BYTES = 1_048_576

type Outcome = Literal["refused", "unreachable", "invalid"]


class UpstreamError(Exception):
    """A call without success. The words name no secret; `status` is that of a refusal."""

    def __init__(self, outcome: Outcome, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.outcome: Outcome = outcome
        self.status = status


class Upstream:
    def __init__(self, settings: Announcing) -> None:
        self._url = settings.orchestrator_url
        self._tls = settings.tls

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        self._http = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def post(self, path: str, body: bytes, secret: str) -> bytes:
        """The answer to a success; the secret goes without `Bearer` (contract §1.1, §5.2).

        Raises UpstreamError. Redirects are refused: the secret is for this address alone.
        """
        headers = {"Authorization": secret, "Content-Type": "application/json"}
        try:
            async with self._http.post(
                f"{self._url}{path}",
                data=body,
                headers=headers,
                ssl=self._tls,
                allow_redirects=False,
            ) as answer:
                if not 200 <= answer.status < 300:
                    reason = f"the orchestrator answers {answer.status}"
                    if answer.status in (400, 401):
                        reason += ": is BYOC_ORCHESTRATOR_SECRET its -orchSecret?"
                    raise UpstreamError("refused", reason, answer.status)
                return await read(answer.content)
        except TimeoutError:
            reason = f"the orchestrator did not answer within {ANSWER_SECONDS} s"
            raise UpstreamError("unreachable", reason) from None
        except (aiohttp.ClientError, OSError) as error:
            # Others may repeat what was sent.
            told = isinstance(error, aiohttp.ClientConnectorError)
            words = str(error) if told else type(error).__name__
            reason = f"the orchestrator can't be reached at {self._url}: {words}"
            raise UpstreamError("unreachable", reason) from None


async def read(content: aiohttp.StreamReader) -> bytes:
    data = b""
    async for chunk in content.iter_any():
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            reason = f"the orchestrator answers more than {MAX_ANSWER_BYTES} bytes"
            raise UpstreamError("invalid", reason)
    return data
