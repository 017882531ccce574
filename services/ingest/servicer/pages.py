"""Pages of listings that are filtered by a request."""

from google.protobuf.message import Message

from libs.common.pagination import Pages, PageTokens


def pages_of(tokens: PageTokens, request: Message) -> Pages:
    """Bound to the request's kind and filters: a token of another listing is refused."""
    filters = type(request)()
    filters.CopyFrom(request)
    for field in ("page_size", "page_token"):
        filters.ClearField(field)
    return Pages(tokens, f"{request.DESCRIPTOR.name} {filters.SerializeToString(deterministic=True).hex()}")
