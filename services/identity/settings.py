"""What identity can be told, beyond what every service can."""

from pathlib import Path

from pydantic import Field

from libs.common.settings import CommonSettings


class IdentitySettings(CommonSettings):
    port: int = Field(default=50051, ge=0, le=65535)
    metrics_port: int = Field(default=51051, ge=0, le=65535)

    @property
    def keyring_path(self) -> Path:
        return self.secrets_dir / "keyring.json"

    @property
    def admin_path(self) -> Path:
        """What bootstrap leaves of the first admin: e-mail address and password."""
        return self.secrets_dir / "admin.json"
