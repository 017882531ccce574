"""What the server encrypts for itself."""

import json
import resource
from pathlib import Path

import pytest

from libs.common.security.keyring import Keyring, KeyringError


def test_keyring_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    sealed = Keyring.create(path).encrypt("a@b.example", "users.email")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        Keyring.create(path)
    assert Keyring.load(path).decrypt(sealed, "users.email") == "a@b.example"


def test_sealed_bytes_open_only_whole_and_in_their_context(tmp_path: Path) -> None:
    keyring = Keyring.create(tmp_path / "keyring.json")
    sealed = keyring.encrypt("a@b.example", "users.email")
    assert b"example" not in sealed
    for wrong in (b"", b"\x09", sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1]), b"\x02k2" + sealed[3:]):
        with pytest.raises(KeyringError):
            keyring.decrypt(wrong, "users.email")
    with pytest.raises(KeyringError):
        keyring.decrypt(sealed, "users.phone")


def test_index_is_equal_for_equal_values_of_a_context(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    keyring = Keyring.create(path)
    index = keyring.blind_index("a@b.example", "users.email")
    assert index == Keyring.load(path).blind_index("a@b.example", "users.email")
    assert index != keyring.blind_index("c@b.example", "users.email")
    assert index != keyring.blind_index("a@b.example", "users.phone")
    assert index != Keyring.create(tmp_path / "other.json").blind_index("a@b.example", "users.email")


def test_old_keys_still_open(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    sealed = Keyring.create(path).encrypt("a@b.example", "users.email")
    content = json.loads(path.read_text())
    content["keys"]["k2"] = content["index_key"]
    path.write_text(json.dumps(content | {"active": "k2"}))
    keyring = Keyring.load(path)
    assert keyring.decrypt(sealed, "users.email") == "a@b.example"
    assert keyring.encrypt("x", "users.email")[1:3] == b"k2"


@pytest.mark.parametrize(
    "content", ["", "[]", '{"active": "k1"}', '{"active": "k1", "keys": {"k1": "AA=="}, "index_key": "AA=="}']
)
def test_damaged_keyring_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keyring.json"
    path.write_text(content)
    with pytest.raises(KeyringError):
        Keyring.load(path)


def test_missing_keyring_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyringError):
        Keyring.load(tmp_path / "keyring.json")


def test_keyring_that_could_not_be_written_whole_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match="large"):
            Keyring.create(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
    Keyring.create(path)
