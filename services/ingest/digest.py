"""Whether two copies of a record say the same, of predictions apart, whose digests are made in columns."""

from hashlib import sha256

from quietus_edge.normalise import four_decimals

Part = str | bytes | int | float | None


_KINDS = {bytes: "bytes", str: "text", int: "integer", float: "number", type(None): "nothing"}


def content_digest(*parts: Part) -> bytes:
    """SHA-256 over normalised fields, each with its kind and length, so that no two records spell the same bytes."""
    digest = sha256()
    for part in parts:
        kind = next(name for type_, name in _KINDS.items() if isinstance(part, type_))
        content = part if isinstance(part, bytes) else str(part).encode()
        digest.update(f"{kind}:{len(content)}:".encode() + content)
    return digest.digest()


def score_part(score: float) -> int:
    """A score as it is kept: to four decimals."""
    return round(four_decimals(score) * 10_000)
