"""What runs on one machine, where, and with which settings. Pure: nothing is started here."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SERVICES = ("identity", "ingest", "fusion", "patterns", "alerts")
DEFAULT_PORTS = {service: 50051 + index for index, service in enumerate(SERVICES)}
METRICS_PORT_OFFSET = 1000
# Nobody waits for patterns within the second: where processors are scarce, predictions, risk and alerts go first.
NICENESS = {"patterns": 10}
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Plan:
    """Ports, folders and environments of one suite."""

    state_dir: Path
    ports: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_PORTS))
    extra_environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def postgres_dir(self) -> Path:
        return self.state_dir / "postgres"

    @property
    def secrets_dir(self) -> Path:
        return self.state_dir / "secrets"

    @property
    def logs_dir(self) -> Path:
        return self.state_dir / "logs"

    @property
    def run_dir(self) -> Path:
        return self.state_dir / "run"

    def address(self, service: str) -> str:
        return f"{HOST}:{self.ports[service]}"

    def metrics_port(self, service: str) -> int:
        return self.ports[service] + METRICS_PORT_OFFSET

    def all_ports(self) -> dict[str, int]:
        """Every port by what listens on it, such as 'ingest' or 'ingest metrics'."""
        serving = {service: self.ports[service] for service in SERVICES}
        return serving | {f"{service} metrics": self.metrics_port(service) for service in SERVICES}

    def environment(self, service: str, database_url: str) -> dict[str, str]:
        """The environment of a service's process: this machine's, with no settings but those of this suite."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("QUIETUS_")}
        addresses = {f"QUIETUS_{other.upper()}_ADDRESS": self.address(other) for other in SERVICES}
        own = {
            "QUIETUS_HOST": HOST,
            f"QUIETUS_{service.upper()}_PORT": str(self.ports[service]),
            f"QUIETUS_{service.upper()}_METRICS_PORT": str(self.metrics_port(service)),
            "QUIETUS_DATABASE_URL": database_url,
            "QUIETUS_STATE_DIR": str(self.state_dir),
            "QUIETUS_SECRETS_DIR": str(self.secrets_dir),
        }
        return inherited | addresses | own | dict(self.extra_environment)


def plan_from_environment(environ: Mapping[str, str] = os.environ) -> Plan:
    """The plan of this folder: .quietus/ below it, QUIETUS_STATE_DIR and QUIETUS_<SERVICE>_PORT where they are set.

    ValueError names a variable that holds no port.
    """
    ports = {service: _port(environ, service) for service in SERVICES}
    chosen = {
        key: value
        for key, value in environ.items()
        if key.startswith("QUIETUS_")
        and key not in {"QUIETUS_STATE_DIR"} | {f"QUIETUS_{service.upper()}_PORT" for service in SERVICES}
    }
    return Plan(Path(environ.get("QUIETUS_STATE_DIR", ".quietus")).resolve(), ports, chosen)


def _port(environ: Mapping[str, str], service: str) -> int:
    """Metrics are served on a port above it."""
    variable, most = f"QUIETUS_{service.upper()}_PORT", 65_535 - METRICS_PORT_OFFSET
    text = environ.get(variable, str(DEFAULT_PORTS[service]))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise ValueError(f"{variable} must be a port from 1 to {most}")
    return int(text)
