"""The server's own keys: encrypt e-mails and phones for use, index them for look-up.

The file is {"active": key id, "keys": {key id: base64 of 32 bytes}, "index_key": base64 of 32 bytes}, readable by its
owner alone.
"""

import hashlib
import hmac
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES = 32
_NONCE_BYTES = 12


class KeyringError(Exception):
    """The keyring is missing or damaged, or the bytes aren't sealed by it for this context."""


class Keyring:
    def __init__(self, active: str, keys: Mapping[str, bytes], index_key: bytes) -> None:
        self._active = active
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._index_key = index_key

    @classmethod
    def load(cls, path: Path) -> "Keyring":
        """Raises KeyringError."""
        try:
            content = json.loads(path.read_text())
            keys = {key_id: b64decode(key) for key_id, key in content["keys"].items()}
            return cls(content["active"], keys, b64decode(content["index_key"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeyringError(f"{path} is missing or damaged") from error

    @classmethod
    def create(cls, path: Path) -> "Keyring":
        """Makes the file with fresh keys, whole or not at all. FileExistsError: there is one, and it is left alone."""
        content = {
            "active": "k1",
            "keys": {"k1": b64encode(os.urandom(_KEY_BYTES)).decode()},
            "index_key": b64encode(os.urandom(_KEY_BYTES)).decode(),
        }
        with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.") as partial:  # made 0600
            json.dump(content, partial)
            partial.flush()
            os.fsync(partial.fileno())
            os.link(partial.name, path)
        return cls.load(path)

    def encrypt(self, plaintext: str, context: str) -> bytes:
        """Length of the key id (1 byte), key id, nonce (12), AES-256-GCM. Bound to a context such as "users.email"."""
        key_id = self._active.encode()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._active].encrypt(nonce, plaintext.encode(), context.encode())
        return bytes([len(key_id)]) + key_id + nonce + sealed

    def decrypt(self, sealed: bytes, context: str) -> str:
        """Raises KeyringError."""
        try:
            end = 1 + sealed[0]
            cipher = self._ciphers[sealed[1:end].decode()]
            nonce, rest = sealed[end : end + _NONCE_BYTES], sealed[end + _NONCE_BYTES :]
            return cipher.decrypt(nonce, rest, context.encode()).decode()
        except (IndexError, KeyError, ValueError, InvalidTag) as error:
            raise KeyringError("not sealed by this keyring for this context") from error

    def blind_index(self, value: str, context: str) -> bytes:
        """32 bytes that are equal for equal values of a context and say nothing else. Normalise the value before."""
        message = f"{len(context)}:{context}{value}".encode()
        return hmac.new(self._index_key, message, hashlib.sha256).digest()
