"""quietus.identity.v1.ConsentService."""

from libs.common.rpc.call import ServicerContext
from libs.common.rpc.caller import current_caller
from libs.common.timestamps import to_timestamp
from quietus.identity.v1 import identity_pb2, identity_pb2_grpc
from services.identity.consents import ResearchConsent
from services.identity.service.consents import Consents


class ConsentServicer(identity_pb2_grpc.ConsentServiceServicer):
    def __init__(self, consents: Consents) -> None:
        self._consents = consents

    async def SetResearchConsent(
        self, request: identity_pb2.SetResearchConsentRequest, context: ServicerContext
    ) -> identity_pb2.SetResearchConsentResponse:
        consent = await self._consents.set_research(current_caller(), request.consent)
        return identity_pb2.SetResearchConsentResponse(consent=_message(consent))

    async def GetResearchConsent(
        self, request: identity_pb2.GetResearchConsentRequest, context: ServicerContext
    ) -> identity_pb2.GetResearchConsentResponse:
        consent = await self._consents.get_research(current_caller())
        return identity_pb2.GetResearchConsentResponse(consent=_message(consent))


def _message(consent: ResearchConsent) -> identity_pb2.ResearchConsent:
    change_time = to_timestamp(consent.change_time) if consent.change_time else None
    return identity_pb2.ResearchConsent(granted=consent.granted, change_time=change_time)
