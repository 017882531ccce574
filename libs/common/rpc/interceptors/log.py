"""One line a call. Payloads never stand in it."""

import logging
import time
from typing import Any

import structlog

from libs.common.rpc.call import Call, Proceed

log = structlog.get_logger()


class Log:
    async def intercept(self, call: Call, proceed: Proceed) -> Any:
        start = time.perf_counter()
        try:
            return await proceed(call)
        finally:
            log.log(
                # Probes every few seconds are no news.
                logging.DEBUG if call.method.policy.foreign else logging.INFO,
                "call",
                method=call.method.path,
                status=call.status.name,
                reason=call.reason,
                milliseconds=round((time.perf_counter() - start) * 1000, 2),
                role=call.role,
                anonymous_id=call.anonymous_id,
            )
