"""What the tests of identity say in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from libs.common.rpc.errors import reason_of


@contextmanager
def refused(status: grpc.StatusCode, reason: str) -> Iterator[pytest.ExceptionInfo[grpc.aio.AioRpcError]]:
    """The call inside fails with this status and this stable reason."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield caught
    assert (caught.value.code(), reason_of(caught.value)) == (status, reason)
