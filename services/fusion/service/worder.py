"""Has a language model put explanations into words, beside fusion and never in its way.

Each set of facts is asked about once for all chunks that have it, outside of any transaction, one request at a time.
"""

import asyncio
from dataclasses import dataclass
from typing import NoReturn

import httpx
import structlog

from libs.common.cancellation import pause
from libs.common.db.database import Database
from libs.common.observability.failure import describe_failure
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError
from services.fusion.explanation import Wording
from services.fusion.facts import facts_in
from services.fusion.restraint import CircuitBreaker, TokenBucket
from services.fusion.service.language_model import LanguageModel, NoAnswerError
from services.fusion.settings import FusionSettings
from services.fusion.store import wordings
from services.fusion.store.wordings import WordingKey
from services.fusion.wording import PROMPT_VERSION, AnswerRefusedError, checked

POLL_SECONDS = 5.0
ASKED_AT_ONCE = 20
# An answer that can't be taken is asked for once more, later; then the facts keep the template.
MOST_ATTEMPTS = 2
REFUSED_PAUSE_SECONDS = 3600.0
UNANSWERED_PAUSE_SECONDS = 60.0
BURST = 5
FAILURES_IN_A_ROW = 3
FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 900.0
WORDED = "WORDED"
FAILED = "FAILED"
# On /healthz and as a metric, while nobody is asked because it would fail again.
DEGRADED = "language_model_fails"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Asked:
    text: str | None  # that may be shown
    outcome: str
    answered: bool = True


class Worder:
    """`shown` is what reads look into: texts of this language model and this prompt alone, by facts."""

    def __init__(
        self,
        database: Database,
        settings: FusionSettings,
        metrics: Metrics,
        shown: dict[str, Wording],
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._shown = shown
        self._bucket = TokenBucket(settings.llm_requests_per_minute, BURST)
        self._breaker = breaker or CircuitBreaker(FAILURES_IN_A_ROW, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._lease_seconds = 2 * settings.llm_timeout_seconds + 5

    async def run(self) -> NoReturn:
        """Whatever goes wrong, such as a proxy of the environment that can't be used: fusion goes on."""
        while True:
            try:
                async with httpx.AsyncClient(timeout=self._settings.llm_timeout_seconds) as client:
                    await self._keep_wording(LanguageModel(client, self._settings))
            except Exception as error:
                _log.warning("language_model_failed", **describe_failure(error))
                self._metrics.set_degraded(DEGRADED, True)
            await pause(POLL_SECONDS)

    async def _keep_wording(self, language_model: LanguageModel) -> NoReturn:
        while True:
            try:
                await self.word_waiting(language_model)
            except AppError as error:
                _log.warning("explanations_wait_for_the_database", reason=error.reason)
            await pause(POLL_SECONDS)

    async def word_waiting(self, language_model: LanguageModel) -> None:
        """Asks about everything that waits, until the breaker opens, and shows what there is."""
        await self._show()
        while not self._breaker.is_open and (waiting := await self._waiting()):
            for key in waiting:
                if self._breaker.is_open:
                    break
                await self._word(language_model, key)
            await self._show()
        await self._recover()

    async def _waiting(self) -> list[WordingKey]:
        async with self._database.read() as tx:
            found = await wordings.read_waiting(
                tx, self._settings.llm_model, PROMPT_VERSION, MOST_ATTEMPTS, ASKED_AT_ONCE
            )
        return list(found)

    async def _word(self, language_model: LanguageModel, key: WordingKey) -> None:
        await asyncio.sleep(self._bucket.take())
        async with self._database.transaction() as tx:
            if not await wordings.claim(tx, key, MOST_ATTEMPTS, self._lease_seconds):
                return
        asked = await _ask(language_model, key)
        self._remember(asked)
        async with self._database.transaction() as tx:
            if asked.text is not None:
                await wordings.keep(tx, key, asked.text)
            elif asked.answered:
                await wordings.refuse(tx, key, asked.outcome, REFUSED_PAUSE_SECONDS)
            else:
                await wordings.give_back(tx, key, UNANSWERED_PAUSE_SECONDS)

    def _remember(self, asked: _Asked) -> None:
        self._metrics.explanation_wordings.labels(asked.outcome).inc()
        if asked.text is not None:
            self._breaker.succeeded()
        else:
            self._breaker.failed()
            _log.warning("explanation_not_worded", outcome=asked.outcome)
        self._metrics.set_degraded(DEGRADED, self._breaker.is_open)

    async def _recover(self) -> None:
        """Who has nothing to ask about any more fails at nothing."""
        async with self._database.read() as tx:
            model = self._settings.llm_model
            is_over = not await wordings.is_anything_unworded(tx, model, PROMPT_VERSION, MOST_ATTEMPTS)
        if is_over:
            self._metrics.set_degraded(DEGRADED, False)

    async def _show(self) -> None:
        async with self._database.read() as tx:
            texts = await wordings.read_all(tx, self._settings.llm_model, PROMPT_VERSION)
        self._shown.clear()
        self._shown.update(texts)


async def _ask(language_model: LanguageModel, key: WordingKey) -> _Asked:
    try:
        facts = facts_in(key.facts)
        return _Asked(checked(await language_model.answer(facts), facts), WORDED)
    except AnswerRefusedError as error:
        return _Asked(None, error.refusal.value)
    except NoAnswerError as error:
        return _Asked(None, error.failure.value, answered=False)
    except Exception as error:  # whatever it is that nobody thought of: fusion goes on
        _log.warning("language_model_failed", **describe_failure(error))
        return _Asked(None, FAILED)
