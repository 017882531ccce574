"""quietus.identity.v1.KeyService."""

from libs.common.rpc.call import ServicerContext
from libs.common.rpc.caller import current_caller
from quietus.identity.v1 import identity_pb2, identity_pb2_grpc
from services.identity.service.sealing_keys import SealingKeys


class KeyServicer(identity_pb2_grpc.KeyServiceServicer):
    def __init__(self, keys: SealingKeys) -> None:
        self._keys = keys

    async def RegisterKey(
        self, request: identity_pb2.RegisterKeyRequest, context: ServicerContext
    ) -> identity_pb2.RegisterKeyResponse:
        key = await self._keys.register(current_caller(), request.public_key, request.wrapped_private_key, request.salt)
        return identity_pb2.RegisterKeyResponse(key_id=str(key.key_id))

    async def GetPublicKey(
        self, request: identity_pb2.GetPublicKeyRequest, context: ServicerContext
    ) -> identity_pb2.GetPublicKeyResponse:
        key = await self._keys.get(current_caller())
        return identity_pb2.GetPublicKeyResponse(key_id=str(key.key_id), public_key=key.public_key)

    async def GetWrappedKey(
        self, request: identity_pb2.GetWrappedKeyRequest, context: ServicerContext
    ) -> identity_pb2.GetWrappedKeyResponse:
        key = await self._keys.get(current_caller())
        return identity_pb2.GetWrappedKeyResponse(
            key_id=str(key.key_id), wrapped_private_key=key.wrapped_private_key, salt=key.salt
        )
