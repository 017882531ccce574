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


def test_patterns_stands_back_and_alerts_do_not_wait_for_it() -> None:
    services = re.split(r"^  (?=[a-z]+:$)", COMPOSE.read_text(), flags=re.MULTILINE)
    by_name = {text.partition(":")[0]: text for text in services}
    assert [name for name, text in by_name.items() if "cpu_shares" in text] == ["patterns"]
    assert "patterns: {condition" not in by_name["alerts"]
