from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from quietus_edge.errors import SealingError, WrongPassphraseError
from quietus_edge.ids import uuid7
from quietus_edge.sealing import TEXT_PREDICTIONS, SealingKey, key_id_of, make_key_pair, seal, unseal, unwrap

PRIVATE_KEY = X25519PrivateKey.generate()
KEY = SealingKey("key-1", PRIVATE_KEY.public_key().public_bytes_raw())
PLACE = {"table": TEXT_PREDICTIONS, "user_id": uuid4(), "row_id": uuid7()}
WORDS = "I made tea. Niko sawa 🙂"


def test_what_is_sealed_opens_with_the_private_key() -> None:
    sealed = seal(WORDS, KEY, **PLACE)
    assert key_id_of(sealed) == "key-1"
    assert WORDS.encode() not in sealed
    assert unseal(sealed, PRIVATE_KEY.private_bytes_raw(), **PLACE) == WORDS


def test_sealing_twice_gives_different_bytes() -> None:
    assert seal(WORDS, KEY, **PLACE) != seal(WORDS, KEY, **PLACE)


@pytest.mark.parametrize("moved", [{"table": "journal_entries"}, {"user_id": uuid4()}, {"row_id": uuid7()}])
def test_sealed_bytes_open_at_their_place_alone(moved: dict) -> None:
    sealed = seal(WORDS, KEY, **PLACE)
    with pytest.raises(SealingError):
        unseal(sealed, PRIVATE_KEY.private_bytes_raw(), **{**PLACE, **moved})


def test_another_key_opens_nothing() -> None:
    with pytest.raises(SealingError):
        unseal(seal(WORDS, KEY, **PLACE), X25519PrivateKey.generate().private_bytes_raw(), **PLACE)


def test_damaged_bytes_are_refused() -> None:
    sealed = seal(WORDS, KEY, **PLACE)
    private_key = PRIVATE_KEY.private_bytes_raw()
    for broken in (b"", sealed[:4], sealed[:20], sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(SealingError):
            unseal(broken, private_key, **PLACE)


def test_a_key_pair_opens_with_its_passphrase_alone() -> None:
    pair = make_key_pair("a long passphrase")
    sealed = seal(WORDS, SealingKey("mine", pair.public_key), **PLACE)
    private_key = unwrap(pair.wrapped_private_key, pair.salt, "a long passphrase")
    assert unseal(sealed, private_key, **PLACE) == WORDS
    # bounds of RegisterKeyRequest
    assert len(pair.public_key) == 32
    assert 48 <= len(pair.wrapped_private_key) <= 512
    assert 16 <= len(pair.salt) <= 48
    with pytest.raises(WrongPassphraseError):
        unwrap(pair.wrapped_private_key, pair.salt, "another passphrase")


def test_key_pairs_may_be_made_in_several_threads_at_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        pairs = list(pool.map(make_key_pair, ["a long passphrase"] * 4))
    assert len({pair.public_key for pair in pairs}) == 4
