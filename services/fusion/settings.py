"""What fusion can be told."""

import re

import httpx
from pydantic import Field, field_validator

from libs.common.settings import CommonSettings
from services.fusion.models import SHIPPED


class FusionSettings(CommonSettings):
    port: int = 50053
    metrics_port: int = 51053

    model: str = Field(default=SHIPPED, description="version of the model that an empty slice begins with")
    max_events_per_transaction: int = Field(default=1000, ge=1, le=5000)

    # QUIETUS_LLM_URL is the same as QUIETUS_FUSION_LLM_URL, and so on.
    llm_url: str = Field(
        default="", max_length=2048, repr=False, description="base of an OpenAI-compatible API; empty: templates alone"
    )
    llm_model: str = Field(default="default", min_length=1, max_length=128)
    llm_api_key: str = Field(default="", max_length=4096, repr=False)
    llm_timeout_seconds: float = Field(default=20, gt=0, le=120)
    llm_requests_per_minute: float = Field(default=30, gt=0, le=6000)

    @field_validator("llm_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError("not an address") from error
        if url and not (address.scheme in {"http", "https"} and address.host):
            raise ValueError("must be empty or start with http:// or https:// and name a host")
        return url

    @field_validator("llm_api_key")
    @classmethod
    def _fits_a_header(cls, key: str) -> str:
        if not re.fullmatch(r"[\x21-\x7e]*", key):
            raise ValueError("must be printable ASCII without spaces")
        return key
