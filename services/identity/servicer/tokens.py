"""quietus.identity.v1.TokenService."""

from libs.common.rpc.call import ServicerContext
from quietus.identity.v1 import identity_pb2, identity_pb2_grpc
from services.identity.service.exchanges import Exchanges
from services.identity.service.logins import Logins
from services.identity.service.signing import SigningKeys
from services.identity.servicer.messages import to_token


class TokenServicer(identity_pb2_grpc.TokenServiceServicer):
    def __init__(self, logins: Logins, exchanges: Exchanges, signing_keys: SigningKeys) -> None:
        self._logins = logins
        self._exchanges = exchanges
        self._signing_keys = signing_keys

    async def LogIn(self, request: identity_pb2.LogInRequest, context: ServicerContext) -> identity_pb2.LogInResponse:
        token = await self._logins.log_in(request.email, request.password)
        return identity_pb2.LogInResponse(token=to_token(token))

    async def ExchangeApiKey(
        self, request: identity_pb2.ExchangeApiKeyRequest, context: ServicerContext
    ) -> identity_pb2.ExchangeApiKeyResponse:
        token = await self._exchanges.exchange(request.api_key)
        return identity_pb2.ExchangeApiKeyResponse(token=to_token(token))

    async def GetSigningKeys(
        self, request: identity_pb2.GetSigningKeysRequest, context: ServicerContext
    ) -> identity_pb2.GetSigningKeysResponse:
        keys = [
            identity_pb2.SigningKey(key_id=key_id, public_key=public_key.public_bytes_raw())
            for key_id, public_key in self._signing_keys.public_keys.items()
        ]
        return identity_pb2.GetSigningKeysResponse(keys=keys)
