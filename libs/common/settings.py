"""Settings from the environment and an optional TOML file; an unknown or wrong key stops the start in one clear line.

Precedence: QUIETUS_<SERVICE>_<KEY>, QUIETUS_<KEY>, the file's [<service>] table, its [common] table, the default.
QUIETUS_<KEY> is for common settings, and for those of one service that begin as in SHORT_NAMES. The file is named by
QUIETUS_CONFIG.
"""

import difflib
import os
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SERVICES = ("identity", "ingest", "fusion", "patterns", "alerts")
# How settings begin that one service alone has: QUIETUS_LLM_URL is QUIETUS_FUSION_LLM_URL.
SHORT_NAMES = {"llm_": "fusion"}

_PREFIX = "QUIETUS_"
_CONFIG_VARIABLE = "QUIETUS_CONFIG"
# What isn't a setting of a service, but of a tool or of a test.
_OTHER_VARIABLES = frozenset({_CONFIG_VARIABLE, "QUIETUS_FAILPOINTS", "QUIETUS_FAILPOINTS_LOG"})
_OTHER_OWNERS = ("edge", "demo", "bench", "deploy", "test")

Port = Annotated[int, Field(ge=0, le=65535)]


class CommonSettings(BaseModel):
    """What every service can be told. A service's own settings inherit from it and set their ports."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: Port = Field(default=0, description="gRPC; 0 takes any free port")
    metrics_port: Port = Field(default=0, description="/metrics and /healthz; 0 takes any free port")

    identity_address: str = "127.0.0.1:50051"
    ingest_address: str = "127.0.0.1:50052"
    fusion_address: str = "127.0.0.1:50053"
    patterns_address: str = "127.0.0.1:50054"
    alerts_address: str = "127.0.0.1:50055"

    state_dir: Path = Path(".quietus")
    secrets_dir: Path = Path(".quietus/secrets")
    page_token_secret: str = Field(default="", repr=False, description="empty: page tokens end with the process")

    database_url: str = Field(default="", repr=False)
    database_pool_size: int = Field(default=5, ge=1, le=50)

    retention_days: int = Field(
        default=90,
        ge=28,
        le=3000,
        description="of sessions, from their start; what they sent is dropped with the last day of their month",
    )
    feed_retention_days: float = Field(
        default=7, gt=0, description="kept at least, and until every follower has passed"
    )
    feed_retention_max_days: float = Field(default=30, gt=0, description="kept at most, whoever still needs it")

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    reflection: Literal["loopback", "always", "never"] = "loopback"

    default_deadline_seconds: float = Field(default=10, gt=0, le=300)
    drain_timeout_seconds: float = Field(default=10, ge=0, le=300)
    max_connection_age_seconds: float = Field(default=3600, gt=0)
    max_concurrent_calls: int = Field(default=2000, ge=1)
    max_streams: int = Field(default=8000, ge=1)
    max_receive_message_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)

    def api_key_path(self, service: str) -> Path:
        """Where bootstrap left the API key that this service trades for its token."""
        return self.secrets_dir / f"{service}.key"


S = TypeVar("S", bound=CommonSettings)


class SettingsError(Exception):
    """A key that is unknown, or a value that can't be taken; the text names the key."""


def load_settings(cls: type[S], service: str, environ: Mapping[str, str] = os.environ) -> S:
    """Reads the settings of a service, or prints one line and exits with 2."""
    try:
        return read_settings(cls, service, environ)
    except SettingsError as error:
        print(f"{service}: {error}", file=sys.stderr)  # noqa: T201 - there is no log before the settings
        raise SystemExit(2) from error


def read_settings(cls: type[S], service: str, environ: Mapping[str, str]) -> S:
    """Raises SettingsError."""
    file_common, file_service = _from_file(cls, service, environ.get(_CONFIG_VARIABLE, ""))
    env_common, env_service = _from_environment(cls, service, environ)
    values: dict[str, Any] = {**file_common, **file_service, **env_common, **env_service}
    try:
        return cls(**values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise SettingsError(f"setting {first['loc'][0]}: {first['msg']}") from error


def _from_environment(cls: type[S], service: str, environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    common: dict[str, str] = {}
    own: dict[str, str] = {}
    own_prefix = f"{service}_"
    for variable, value in environ.items():
        if not variable.startswith(_PREFIX) or variable in _OTHER_VARIABLES:
            continue
        key = variable.removeprefix(_PREFIX).lower()
        if key in CommonSettings.model_fields or (key in cls.model_fields and _short_owner(key) == service):
            common[key] = value  # first, because of keys such as identity_address
        elif key.startswith(own_prefix) and key.removeprefix(own_prefix) in cls.model_fields:
            own[key.removeprefix(own_prefix)] = value
        elif key.startswith(own_prefix) or not _is_of_another(service, key):
            known = [*(f"{own_prefix}{name}" for name in cls.model_fields), *CommonSettings.model_fields]
            raise _unknown(variable, (f"{_PREFIX}{name.upper()}" for name in known))
    return common, own


def _is_of_another(service: str, key: str) -> bool:
    owners = [owner for owner in (*SERVICES, *_OTHER_OWNERS) if owner != service]
    return key.startswith(tuple(f"{owner}_" for owner in owners)) or _short_owner(key) not in (None, service)


def _short_owner(key: str) -> str | None:
    return next((owner for beginning, owner in SHORT_NAMES.items() if key.startswith(beginning)), None)


def _from_file(cls: type[S], service: str, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if not path:
        return {}, {}
    try:
        tables = tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    _check_known(tables, ("common", *SERVICES), path)
    common, own = (_table(tables, name, path) for name in ("common", service))
    _check_known(common, CommonSettings.model_fields, f"{path} [common]")
    _check_known(own, cls.model_fields, f"{path} [{service}]")
    return common, own


def _table(tables: dict[str, Any], name: str, path: str) -> dict[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: {name} is not a table")
    return table


def _check_known(keys: Iterable[str], known: Iterable[str], where: str) -> None:
    names = list(known)
    for key in keys:
        if key not in names:
            raise _unknown(key, names, where)


def _unknown(key: str, known: Iterable[str], where: str = "environment") -> SettingsError:
    near = difflib.get_close_matches(key, list(known), n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return SettingsError(f"unknown setting {key} in {where}{hint}")
