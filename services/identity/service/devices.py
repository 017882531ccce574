"""Registers devices and revokes them."""

import json
from dataclasses import dataclass, field
from uuid import UUID

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.security.keyring import Keyring
from quietus.common.v1.options_pb2 import ROLE_ADMIN
from quietus_edge.ids import uuid7
from services.identity.api_keys import new_api_key
from services.identity.service.callers import actor_of, person_for, user_id_of
from services.identity.store import api_keys, requests
from services.identity.store.api_keys import DeviceHolder


@dataclass(frozen=True)
class RegisteredDevice:
    device_id: UUID
    api_key: str = field(repr=False)


class Devices:
    def __init__(self, database: Database, keyring: Keyring, clock: Clock) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock

    async def register(self, caller: Caller, request_id: UUID, anonymous_id: str, name: str) -> RegisteredDevice:
        """A repeated request can't show the key again: ALREADY_EXISTS DEVICE_ALREADY_REGISTERED."""
        caller_id, now, key = user_id_of(caller), self._clock(), new_api_key()
        digest = self._keyring.blind_index(json.dumps([anonymous_id, name]), "request_ids.register_device")
        async with self._database.transaction() as tx:
            person = await person_for(tx, caller, anonymous_id)
            earlier = await requests.find(tx, caller_id, request_id)
            if earlier is not None:
                same = earlier.content_digest == digest
                raise AppError(ErrorKind.ALREADY_EXISTS, "DEVICE_ALREADY_REGISTERED" if same else "REQUEST_ID_REUSED")
            device_id = uuid7(now)
            holder = DeviceHolder(person.user_id, device_id)
            await api_keys.add(tx, uuid7(now), key, holder, name=name, now=now)
            await requests.add(tx, requests.Request(caller_id, request_id, person.user_id, digest), now)
            await _audit(tx, caller, person.user_id, "device.registered", device_id)
        return RegisteredDevice(device_id, key.secret)

    async def revoke(self, caller: Caller, device_id: UUID) -> None:
        """Of another person's device only an admin knows that it is there."""
        async with self._database.transaction() as tx:
            owner = await api_keys.owner_of_device(tx, device_id)
            if owner is None or (caller.role != ROLE_ADMIN and caller.user_id != owner):
                raise AppError(ErrorKind.NOT_FOUND, "DEVICE_NOT_FOUND")
            if await api_keys.revoke_device(tx, device_id):
                await _audit(tx, caller, owner, "device.revoked", device_id)


async def _audit(tx: Transaction, caller: Caller, user_id: UUID, action: str, device_id: UUID) -> None:
    await append_audit(
        tx,
        user_id=user_id,
        actor=actor_of(caller),
        action=action,
        resource_type="device",
        resource_id=str(device_id),
    )
