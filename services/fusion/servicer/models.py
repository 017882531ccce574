"""ModelService: contract in, use case, contract out."""

from collections.abc import Sequence
from typing import Any

import grpc

from libs.common.rpc.caller import Caller, current_caller
from libs.common.rpc.drain import current_drain
from libs.common.timestamps import to_datetime, to_timestamp
from quietus.common.v1.options_pb2 import Role
from quietus.common.v1.types_pb2 import RiskLevel
from quietus.fusion.v1 import models_pb2 as contract
from quietus.fusion.v1.models_pb2_grpc import ModelServiceServicer
from services.fusion.disclosure import Counts, Findings
from services.fusion.service.comparing import Comparisons, Question
from services.fusion.service.switching import ModelSwitching
from services.fusion.versions import Switch

Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(ModelServiceServicer):
    def __init__(self, switching: ModelSwitching, comparisons: Comparisons) -> None:
        self._switching = switching
        self._comparisons = comparisons

    async def ListModels(self, request: contract.ListModelsRequest, context: Context) -> contract.ListModelsResponse:
        listing = await self._switching.listing()
        return contract.ListModelsResponse(
            versions=[
                contract.ModelVersion(
                    version=one.model.version,
                    checksum=one.checksum,
                    date=one.model.date.isoformat(),
                    in_force=one.model.version == listing.in_force,
                )
                for one in listing.documents
            ],
            switches=[_switch(one) for one in listing.switches],
        )

    # Uses the context, because only so can a write be given up.
    async def CompareModels(  # type: ignore[override]
        self, request: contract.CompareModelsRequest, context: Context
    ) -> None:
        question = Question(
            version=request.version,
            checksum=request.checksum,
            start_time=to_datetime(request.start_time) if request.HasField("start_time") else None,
            end_time=to_datetime(request.end_time) if request.HasField("end_time") else None,
        )

        async def write(findings: Findings) -> None:
            await context.write(_findings(findings))

        await self._comparisons.send(_actor(current_caller()), question, write, current_drain())

    async def SwitchModel(self, request: contract.SwitchModelRequest, context: Context) -> contract.SwitchModelResponse:
        actor = _actor(current_caller())
        switch = await self._switching.switch(actor, request.version, request.checksum, request.replaces)
        return contract.SwitchModelResponse(switch=_switch(switch))


def _actor(caller: Caller) -> str:
    """As the audit log names who acted."""
    return f"{Role.Name(caller.role).removeprefix('ROLE_').lower()}:{caller.anonymous_id or caller.service}"


def _switch(switch: Switch) -> contract.ModelSwitch:
    return contract.ModelSwitch(
        number=switch.number,
        version=switch.version,
        effect_time=to_timestamp(switch.effect_time),
        actor=switch.actor,
    )


def _findings(findings: Findings) -> contract.CompareModelsResponse:
    return contract.CompareModelsResponse(
        **findings.numbers,
        total_sessions=findings.total_sessions,
        chunk_levels=_levels(findings.chunk_levels),
        session_levels=_levels(findings.session_levels),
        done=findings.done,
    )


def _levels(counts: Counts) -> Sequence[contract.LevelCount]:
    return [
        contract.LevelCount(
            stored=RiskLevel.ValueType(stored),
            candidate=RiskLevel.ValueType(candidate),
            count=count or 0,
            withheld=count is None,
        )
        for (stored, candidate), count in counts.items()
    ]
