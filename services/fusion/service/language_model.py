"""An OpenAI-compatible chat completions endpoint, asked once and trusted in nothing: an answer is bounded in time and
bytes, and what it says is checked elsewhere.

Source of the wire format: OpenAI API reference, "Create chat completion", with structured outputs by JSON schema.
"""

import asyncio
from collections.abc import Sequence
from enum import StrEnum

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.fusion.facts import Fact
from services.fusion.settings import FusionSettings
from services.fusion.wording import ANSWER_SCHEMA, messages

MOST_ANSWER_BYTES = 64 * 1024
MOST_ANSWER_TOKENS = 400
PATH = "/chat/completions"


class Failure(StrEnum):
    """Why there is no answer."""

    TIMEOUT = "TIMEOUT"
    UNREACHABLE = "UNREACHABLE"
    RATE_LIMITED = "RATE_LIMITED"
    WRONG_STATUS = "WRONG_STATUS"
    TOO_LARGE = "TOO_LARGE"
    NOT_A_COMPLETION = "NOT_A_COMPLETION"


class NoAnswerError(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


class _Message(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    content: str


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


class LanguageModel:
    def __init__(self, client: httpx.AsyncClient, settings: FusionSettings) -> None:
        base = settings.llm_url.rstrip("/")
        self.name = settings.llm_model
        self._client = client
        self._url = base if base.endswith(PATH) else base + PATH
        # A compressed body could unfold to any size.
        self._headers = {"Accept-Encoding": "identity"}
        if settings.llm_api_key:
            self._headers["Authorization"] = f"Bearer {settings.llm_api_key}"
        self._timeout_seconds = settings.llm_timeout_seconds

    async def answer(self, facts: Sequence[Fact]) -> str:
        """The content of the first choice, unchecked. NoAnswerError."""
        body = await self._post(
            {
                "model": self.name,
                "messages": messages(facts),
                "temperature": 0,
                "max_tokens": MOST_ANSWER_TOKENS,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "explanation", "strict": True, "schema": ANSWER_SCHEMA},
                },
            }
        )
        try:
            return _Completion.model_validate_json(body).choices[0].message.content
        except ValidationError:
            raise NoAnswerError(Failure.NOT_A_COMPLETION) from None

    async def _post(self, content: dict[str, object]) -> bytes:
        post = self._client.stream("POST", self._url, json=content, headers=self._headers)
        try:
            async with asyncio.timeout(self._timeout_seconds), post as response:
                if response.status_code != httpx.codes.OK:
                    too_many = response.status_code == httpx.codes.TOO_MANY_REQUESTS
                    raise NoAnswerError(Failure.RATE_LIMITED if too_many else Failure.WRONG_STATUS)
                body = bytearray()
                async for part in response.aiter_raw():
                    body += part
                    if len(body) > MOST_ANSWER_BYTES:
                        raise NoAnswerError(Failure.TOO_LARGE)
                return bytes(body)
        except (TimeoutError, httpx.TimeoutException):
            raise NoAnswerError(Failure.TIMEOUT) from None
        except httpx.HTTPError:
            raise NoAnswerError(Failure.UNREACHABLE) from None
