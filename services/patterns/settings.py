"""What patterns can be told."""

from pydantic import Field

from libs.common.settings import CommonSettings


class PatternsSettings(CommonSettings):
    port: int = Field(default=50054, ge=0, le=65535)
    metrics_port: int = Field(default=51054, ge=0, le=65535)
