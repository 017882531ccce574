"""Voice features between the contract's messages and what a table keeps."""

from quietus.ingest.v1.voice_pb2 import VoiceSessionFeatures
from services.ingest.voice import VoiceFeatures


def read_features(message: VoiceSessionFeatures) -> VoiceFeatures | None:
    """What was measured, by group and name; None when nothing was."""
    groups = {group.name: _measured(features) for group, features in message.ListFields()}
    return {name: measured for name, measured in groups.items() if measured} or None


def to_features(features: VoiceFeatures | None) -> VoiceSessionFeatures | None:
    return None if features is None else VoiceSessionFeatures(**features)  # type: ignore[arg-type]


def _measured(features: object) -> dict[str, float]:
    return {feature.name: value for feature, value in features.ListFields()}  # type: ignore[attr-defined]
