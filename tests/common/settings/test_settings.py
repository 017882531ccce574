"""Where a setting comes from, and what stops a start."""

from pathlib import Path

import pytest

from libs.common.settings import CommonSettings, Port, SettingsError, load_settings, read_settings


class IngestSettings(CommonSettings):
    port: Port = 50052
    ack_window_batches: int = 64


def _file(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "quietus.toml"
    path.write_text(text)
    return {"QUIETUS_CONFIG": str(path)}


def _read(environ: dict[str, str]) -> IngestSettings:
    return read_settings(IngestSettings, "ingest", environ)


def _problem(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as raised:
        _read(environ)
    return str(raised.value)


def test_each_source_gives_way_to_the_next(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    assert _read(environ).database_pool_size == 5
    environ |= _file(tmp_path, "[common]\ndatabase_pool_size = 6")
    assert _read(environ).database_pool_size == 6
    environ |= _file(tmp_path, "[common]\ndatabase_pool_size = 6\n[ingest]\ndatabase_pool_size = 7")
    assert _read(environ).database_pool_size == 7
    environ["QUIETUS_DATABASE_POOL_SIZE"] = "8"
    assert _read(environ).database_pool_size == 8
    environ["QUIETUS_INGEST_DATABASE_POOL_SIZE"] = "9"
    assert _read(environ).database_pool_size == 9


def test_what_belongs_to_others_is_left_alone(tmp_path: Path) -> None:
    environ = {
        "PATH": "/bin",
        "QUIETUS_FUSION_PORT": "1",
        "QUIETUS_FUSION_ANYTHING": "1",
        "QUIETUS_FAILPOINTS": "ingest.before_commit=kill@1",
        "QUIETUS_EDGE_SPOOL": "/data",
        "QUIETUS_LLM_URL": "https://llm.example/v1",
        **_file(tmp_path, "[fusion]\nanything = 1"),
    }
    assert _read(environ) == IngestSettings()


def test_address_of_a_service_is_a_common_setting() -> None:
    environ = {"QUIETUS_IDENTITY_ADDRESS": "identity:50051", "QUIETUS_INGEST_ADDRESS": "ingest:50052"}
    assert _read(environ).identity_address == "identity:50051"
    assert _read(environ).ingest_address == "ingest:50052"


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("QUIETUS_INGEST_PROT", "QUIETUS_INGEST_PORT"),
        ("QUIETUS_LOG_LEVLE", "QUIETUS_LOG_LEVEL"),
        ("QUIETUS_INGST_PORT", "QUIETUS_INGEST_PORT"),
        ("QUIETUS_ACK_WINDOW_BATCHES", "QUIETUS_INGEST_ACK_WINDOW_BATCHES"),
    ],
)
def test_unknown_variable_is_named_with_what_is_near(variable: str, near: str) -> None:
    problem = _problem({variable: "1"})
    assert variable in problem
    assert near in problem


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[common]\nlog_levle = 'info'", "log_levle"),
        ("[ingest]\nprot = 1", "prot"),
        ("[ingets]\nport = 1", "ingets"),
        ("ingest = 1", "ingest"),
        ("[ingest", "quietus.toml"),
    ],
)
def test_unknown_key_of_the_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    assert named in _problem(_file(tmp_path, text))


def test_missing_file_is_named() -> None:
    assert "/nowhere.toml" in _problem({"QUIETUS_CONFIG": "/nowhere.toml"})


@pytest.mark.parametrize(
    "environ", [{"QUIETUS_INGEST_PORT": "many"}, {"QUIETUS_PORT": "70000"}, {"QUIETUS_LOG_LEVEL": "loud"}]
)
def test_wrong_value_is_named_and_not_shown(environ: dict[str, str]) -> None:
    problem = _problem(environ)
    (variable,) = environ
    assert variable.lower().removeprefix("quietus_").removeprefix("ingest_") in problem
    assert environ[variable] not in problem


def test_problem_is_one_line_and_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        load_settings(IngestSettings, "ingest", {"QUIETUS_INGEST_PROT": "1"})
    assert raised.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
