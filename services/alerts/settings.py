"""What alerts can be told."""

from datetime import timedelta
from pathlib import Path

import httpx
from pydantic import Field, field_validator

from libs.common.settings import CommonSettings
from services.alerts.escalation import Policy


class AlertsSettings(CommonSettings):
    port: int = 50055
    metrics_port: int = 51055

    alert_fresh_hours: float = Field(default=24, gt=0, description="a result captured longer ago opens a delayed alert")
    reopen_after_minutes: float = Field(default=60, ge=0, description="how long high is quiet after a resolution")

    webhook_url: str = Field(default="", repr=False, description="where notifications are posted; empty: nowhere")
    webhook_timeout_seconds: float = Field(default=5, gt=0, le=30)
    webhook_attempts: int = Field(default=8, ge=1, le=50)
    webhook_first_pause_seconds: float = Field(default=1, gt=0)
    webhook_longest_pause_seconds: float = Field(default=300, gt=0)

    @field_validator("webhook_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError("not an address") from error
        if url and not (address.scheme in {"http", "https"} and address.host):
            raise ValueError("must be empty or start with http:// or https:// and name a host")
        return url

    @property
    def keyring_path(self) -> Path:
        return self.secrets_dir / "keyring.json"

    @property
    def policy(self) -> Policy:
        return Policy(timedelta(hours=self.alert_fresh_hours), timedelta(minutes=self.reopen_after_minutes))
