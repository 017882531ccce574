"""Every call has an id that stands in logs and goes back to the caller."""

import re
from typing import Any
from uuid import uuid4

import structlog

from libs.common.rpc.call import Call, Proceed

KEY = "x-request-id"
_ACCEPTABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")


class RequestId:
    async def intercept(self, call: Call, proceed: Proceed) -> Any:
        given = call.metadata(KEY)
        call.request_id = given if _ACCEPTABLE.fullmatch(given) else uuid4().hex
        call.context.set_trailing_metadata(((KEY, call.request_id),))
        structlog.contextvars.bind_contextvars(request_id=call.request_id)
        return await proceed(call)
