"""ModelService: contract in, use case, contract out."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import grpc

from libs.common.rpc.caller import Caller, current_caller
from libs.common.rpc.drain import current_drain
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.timestamps import to_datetime, to_timestamp
from quietus.common.v1.options_pb2 import Role
from quietus.common.v1.types_pb2 import RiskLevel
from quietus.fusion.v1 import models_pb2 as contract
from quietus.fusion.v1.models_pb2_grpc import ModelServiceServicer
from services.fusion.comparing import Comparisons, Question, Report
from services.fusion.comparison import Change, matrix
from services.fusion.switching import ModelSwitching
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

    async def CompareModels(
        self, request: contract.CompareModelsRequest, context: Context
    ) -> AsyncIterator[contract.CompareModelsResponse]:
        question = Question(
            version=request.version,
            checksum=request.checksum,
            start_time=to_datetime(request.start_time) if request.HasField("start_time") else None,
            end_time=to_datetime(request.end_time) if request.HasField("end_time") else None,
        )
        drain = current_drain()
        async with aclosing(self._comparisons.compare(_actor(current_caller()), question)) as reports:
            async for report in reports:
                yield _report(report)
                if drain.is_set() and not report.done:
                    raise AppError(ErrorKind.UNAVAILABLE, "DRAINING", "the server ends; connect to another")

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


def _report(report: Report) -> contract.CompareModelsResponse:
    tally = report.tally
    return contract.CompareModelsResponse(
        sessions=tally.sessions,
        chunks=tally.chunks,
        expired_sessions=tally.expired_sessions,
        total_sessions=report.total_sessions,
        chunk_levels=_levels(matrix(tally.chunk_levels)),
        session_levels=_levels(matrix(tally.session_levels)),
        newly_alerting_sessions=tally.newly_alerting,
        no_longer_alerting_sessions=tally.no_longer_alerting,
        mean_score_change=tally.mean_score_change,
        mean_session_score_change=tally.mean_session_score_change,
        examples=[
            contract.ModelExample(
                session_id=str(one.session_id),
                chunk_id=str(one.chunk_id),
                stored=RiskLevel.ValueType(one.levels[0]),
                candidate=RiskLevel.ValueType(one.levels[1]),
            )
            for one in tally.examples
        ],
        done=report.done,
    )


def _levels(counts: Sequence[tuple[Change, int]]) -> Sequence[contract.LevelCount]:
    return [
        contract.LevelCount(stored=RiskLevel.ValueType(stored), candidate=RiskLevel.ValueType(candidate), count=count)
        for (stored, candidate), count in counts
    ]
