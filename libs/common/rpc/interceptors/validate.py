"""Makes a message of the bytes of a unary request and refuses what the contract forbids.

The messages of a stream go through the same parser, as the servicer reads them: see libs.common.rpc.chain.
"""

from typing import Any

from libs.common.rpc.call import Call, Proceed


class Validate:
    async def intercept(self, call: Call, proceed: Proceed) -> Any:
        if not call.method.takes_stream:
            call.request = call.method.parse(call.request)
        return await proceed(call)
