"""What fusion can be told."""

from pydantic import Field

from libs.common.settings import CommonSettings
from services.fusion.models import SHIPPED


class FusionSettings(CommonSettings):
    port: int = 50053
    metrics_port: int = 51053

    model: str = Field(default=SHIPPED, description="version of the model that new results are made with")
    max_events_per_transaction: int = Field(default=2000, ge=1, le=5000)
