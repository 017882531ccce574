"""Pages drift: what they name must be there."""

import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from libs.common.settings import CommonSettings
from quietus.alerts.v1 import alerts_pb2
from quietus.common.v1 import feed_pb2, options_pb2
from quietus.identity.v1 import identity_pb2
from quietus.ingest.v1 import analysis_pb2, ingest_pb2, predictions_pb2, video_pb2, voice_pb2
from tests.docs.pages import (
    PAGES,
    ROOT,
    code_spans,
    dotted_names,
    linked_files,
    module_file,
    name_of,
    named_paths,
    run_modules,
    tracked_files,
)

SERVICES = ("identity", "ingest", "fusion", "patterns", "alerts")
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
WALK = (ROOT / "docs" / "walk.md").read_text()
STEPS = [paragraph for paragraph in WALK.split("\n\n") if paragraph.startswith("**")]

every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@every_page
def test_files_that_a_page_names_are_there(page: Path) -> None:
    missing = [str(path) for path in [*linked_files(page), *named_paths(page)] if not path.exists()]
    assert missing == []


@every_page
def test_modules_that_a_page_runs_are_there(page: Path) -> None:
    for name in run_modules(page):
        found = module_file(name)
        assert found is not None, name
        assert found.is_file() or (found / "__main__.py").is_file(), name


@every_page
def test_dotted_names_of_a_page_are_modules_or_in_one(page: Path) -> None:
    for name in dotted_names(page):
        outer, _, last = name.rpartition(".")
        module = module_file(outer)
        assert module_file(name) or (module and module.is_file() and _defines(module.read_text(), last)), name


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[2:40].split(".")[0])
def test_every_function_of_the_walk_is_in_a_file_of_its_step(step: str) -> None:
    spans = code_spans(step)
    sources = [(ROOT / span).read_text() for span in spans if span.endswith(".py")]
    assert sources
    for called in [span.removesuffix("()") for span in spans if span.endswith("()")]:
        assert any(all(_defines(source, part) for part in called.split(".")) for source in sources), called


def test_the_walk_is_one_page_from_the_device_to_the_counselor() -> None:
    assert len(STEPS) >= 10
    assert len(WALK.splitlines()) <= 120


def test_make_targets_of_the_readme_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", README))
    assert {"demo", "test", "up", "down"} <= named
    assert named <= targets


def test_continuous_integration_runs_what_the_readme_says() -> None:
    assert "make lint test" in (ROOT / ".ci" / "run").read_text()
    assert "`make lint test`" in README


def test_the_token_command_is_the_one_that_up_prints() -> None:
    printed = re.search(r'COUNSELOR_COMMAND = "(.*)"', (ROOT / "deploy" / "local" / "__main__.py").read_text())
    assert printed is not None
    assert printed[1] in README


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_page(service: str) -> None:
    page = (ROOT / "services" / service / "README.md").read_text()
    for said in ("follows", "owns", "RPCs", "feed", f"QUIETUS_{service.upper()}_"):
        assert said in page


def test_operations_knows_every_common_setting() -> None:
    spans = set(code_spans((ROOT / "docs" / "operations.md").read_text()))
    assert set(CommonSettings.model_fields) - spans == set()


def test_privacy_speaks_of_every_field_of_a_prediction() -> None:
    read = predictions_pb2
    messages: list[type[Message]] = [
        read.VisionPrediction,
        read.AudioPrediction,
        read.TextPrediction,
        read.TextCues,
        read.VoiceFeatures,
    ]
    fields = {name for message in messages for name in message.DESCRIPTOR.fields_by_name}
    fields |= set(read.Prediction.DESCRIPTOR.fields_by_name) - {"vision", "audio", "text"}
    assert fields - _words_of_privacy() == set()


def test_privacy_speaks_of_every_field_that_is_recorded_beside_predictions() -> None:
    messages: list[type[Message]] = [
        analysis_pb2.RecordAnalysisRequest,
        video_pb2.StartVideoSessionRequest,
        video_pb2.EndVideoSessionRequest,
        video_pb2.VideoEvent,
        video_pb2.VideoSignal,
        voice_pb2.RecordVoiceSessionRequest,
        voice_pb2.VoiceSessionFeatures,
        voice_pb2.ProsodicFeatures,
        voice_pb2.SpectralFeatures,
        voice_pb2.TemporalFeatures,
    ]
    fields = {name for message in messages for name in message.DESCRIPTOR.fields_by_name}
    assert fields - _words_of_privacy() == set()


def test_privacy_speaks_of_every_field_that_is_marked_personal() -> None:
    modules = (alerts_pb2, analysis_pb2, feed_pb2, identity_pb2, predictions_pb2, video_pb2, voice_pb2)
    files = [module.DESCRIPTOR for module in modules]
    messages: list[Descriptor] = [message for file in files for message in file.message_types_by_name.values()]
    personal = {
        field.name
        for message in messages
        for field in message.fields
        if field.GetOptions().Extensions[options_pb2.personal]
    }
    assert personal - _words_of_privacy() == set()


def test_the_protocol_knows_every_way_in_which_a_stream_ends() -> None:
    ingest = ROOT / "services" / "ingest"
    names = (
        "servicer/sessions",
        "service/stream",
        "service/batches",
        "service/sessions",
        "service/devices",
        "service/recording",
    )
    sources = [(ingest / f"{name}.py").read_text() for name in names]
    reasons = {reason for source in sources for reason in re.findall(r'ErrorKind\.\w+,\s+"([A-Z_]+)"', source)}
    assert {"STREAM_IDLE", "BATCH_EMPTY", "RATE_LIMITED"} <= reasons
    assert reasons - _words_of_protocol() == set()


def test_the_protocol_knows_every_reason_of_a_refusal_and_every_message() -> None:
    reasons = {name.removeprefix("REFUSAL_REASON_") for name in ingest_pb2.RefusalReason.DESCRIPTOR.values_by_name}
    messages = (
        ingest_pb2.StreamPredictionsRequest,
        ingest_pb2.StreamPredictionsResponse,
        predictions_pb2.TextPrediction,
    )
    fields = {name for message in messages for name in message.DESCRIPTOR.fields_by_name}
    assert (reasons | fields) - _words_of_protocol() == {"UNSPECIFIED"}


def test_decisions_are_numbered_without_a_gap_and_fit_on_a_page() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        assert text.startswith(f"# {int(page.name[:4])}. ")
        assert all(part in text for part in ("**Context.**", "**Decision.**", "**Consequences.**")), page.name
        assert len(text.splitlines()) <= 40


def test_no_tracked_file_names_a_registry_or_a_path_of_somebodys_machine() -> None:
    # Written in parts, so that this file is none of those that name one.
    registries = ("pypi" + r"\.org", "python" + "hosted", "npm" + "js", "proxy.golang" + r"\.org", "ghcr" + r"\.io")
    options = ("index" + "-url", "find" + "-links", "extra" + "-index")
    machines = (r"(?<![\w.])/" + "(?:work|root|home|Users)/",)
    forbidden = re.compile("|".join((*registries, *options, *machines)).encode())
    allowed = {ROOT / "deploy" / "lock.py"}  # tells the resolver to write none
    named = [str(file) for file in tracked_files() if file not in allowed and forbidden.search(file.read_bytes())]
    assert named == []


def _words_of_protocol() -> set[str]:
    return set(re.findall(r"\w+", (ROOT / "docs" / "protocol.md").read_text()))


def _words_of_privacy() -> set[str]:
    return set(re.findall(r"\w+", (ROOT / "docs" / "privacy.md").read_text()))


def _defines(source: str, name: str) -> bool:
    return re.search(rf"\b(?:def|class) {name}\b|^{name}\b\s*[:=]", source, re.MULTILINE) is not None
