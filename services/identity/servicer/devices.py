"""quietus.identity.v1.DeviceService."""

from uuid import UUID

from libs.common.rpc.call import ServicerContext
from libs.common.rpc.caller import current_caller
from quietus.identity.v1 import identity_pb2, identity_pb2_grpc
from services.identity.service.devices import Devices


class DeviceServicer(identity_pb2_grpc.DeviceServiceServicer):
    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    async def RegisterDevice(
        self, request: identity_pb2.RegisterDeviceRequest, context: ServicerContext
    ) -> identity_pb2.RegisterDeviceResponse:
        device = await self._devices.register(
            current_caller(), UUID(request.request_id), request.anonymous_id, request.name
        )
        return identity_pb2.RegisterDeviceResponse(device_id=str(device.device_id), api_key=device.api_key)

    async def RevokeDevice(
        self, request: identity_pb2.RevokeDeviceRequest, context: ServicerContext
    ) -> identity_pb2.RevokeDeviceResponse:
        await self._devices.revoke(current_caller(), UUID(request.device_id))
        return identity_pb2.RevokeDeviceResponse()
