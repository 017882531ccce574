"""What compose passes on to the services."""

import re
from pathlib import Path

from services.fusion.settings import FusionSettings

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose.yaml"


def test_all_that_names_a_language_model_is_passed_on_as_it_is_set() -> None:
    passed = re.findall(r"^ +QUIETUS_(LLM_[A-Z_]+):$", COMPOSE.read_text(), re.MULTILINE)
    assert {name.lower() for name in passed} == {
        name for name in FusionSettings.model_fields if name.startswith("llm_")
    }
