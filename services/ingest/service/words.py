"""Words of a row: checked before the transaction, sealed inside it."""

from dataclasses import dataclass
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.rpc.errors import AppError, ErrorKind
from services.ingest.sealing import Sealed, Words, looks_sealed
from services.ingest.store import sealing_keys


@dataclass(frozen=True, slots=True)
class WordKeeper:
    """Of one table; the other names are those of the contract's fields."""

    table: str
    sealed_field: str
    plain_field: str
    state_field: str
    allow_plaintext: bool

    def check(self, words: Words) -> None:
        """FAILED_PRECONDITION PLAINTEXT_NOT_ALLOWED; INVALID_ARGUMENT INVALID_FIELD."""
        if words.plain is not None and not self.allow_plaintext:
            text = "words are taken sealed alone"
            raise AppError(ErrorKind.FAILED_PRECONDITION, "PLAINTEXT_NOT_ALLOWED", text, field=self.plain_field)
        if words.sealed is not None and not looks_sealed(words.sealed):
            text = "must be a key id and an HPKE message"
            raise AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", text, field=self.sealed_field)
        if words.is_contradictory:
            text = "contradicts what was sent"
            raise AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", text, field=self.state_field)

    async def seal(self, tx: Transaction, words: Words, user_id: UUID, row_id: UUID) -> Sealed:
        keys = {} if words.plain is None else await sealing_keys.find(tx, [user_id])
        return words.seal_for(keys.get(user_id), table=self.table, user_id=user_id, row_id=row_id)
