"""How a language model is named."""

import pytest

from libs.common.settings import SettingsError, read_settings
from services.fusion.settings import FusionSettings
from tests.fusion.wording_trial import (
    KEY,
)


def test_settings_may_be_named_shortly() -> None:
    environ = {"QUIETUS_LLM_URL": "https://llm.example/v1", "QUIETUS_FUSION_LLM_MODEL": "b", "QUIETUS_LLM_MODEL": "a"}
    settings = read_settings(FusionSettings, "fusion", environ)
    assert (settings.llm_url, settings.llm_model) == ("https://llm.example/v1", "b")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QUIETUS_LLM_URL", "llm.example/v1"),
        ("QUIETUS_LLM_URL", "ftp://llm.example"),
        ("QUIETUS_LLM_API_KEY", "two words"),
        ("QUIETUS_LLM_API_KEY", "line\nfeed"),
        ("QUIETUS_LLM_MODEL", ""),
        ("QUIETUS_LLM_TIMEOUT_SECONDS", "0"),
        ("QUIETUS_LLM_REQUESTS_PER_MINUTE", "0"),
        ("QUIETUS_LLM_URI", "https://llm.example/v1"),
    ],
)
def test_settings_that_cant_be_taken_stop_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(FusionSettings, "fusion", {name: value})
    assert name.removeprefix("QUIETUS_").lower() in str(caught.value).lower()


def test_settings_dont_show_the_key() -> None:
    assert KEY not in repr(FusionSettings(llm_api_key=KEY))
