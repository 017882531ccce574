"""No method of the contracts is left without a word on who may call it."""

from importlib import import_module
from pathlib import Path

import quietus.common.v1.options_pb2 as options
from libs.common.rpc.policy import methods_without_policy, policy_of
from tests.common.rpc.probe import SERVICE

_ROOT = Path(options.__file__).parents[3]


def _service_names() -> list[str]:
    paths = sorted((_ROOT / "quietus").glob("*/v1/*_pb2.py"))
    modules = [import_module(".".join(path.relative_to(_ROOT).with_suffix("").parts)) for path in paths]
    return [service.full_name for module in modules for service in module.DESCRIPTOR.services_by_name.values()]


def test_every_method_says_who_may_call_it() -> None:
    assert len(_service_names()) >= 10
    assert methods_without_policy(_service_names()) == []


def test_method_that_says_nothing_is_found() -> None:
    assert methods_without_policy([SERVICE]) == [f"/{SERVICE}/Unspoken"]


def test_policy_is_read_from_the_contract() -> None:
    follow = policy_of("/quietus.common.v1.FeedService/Follow")
    assert follow.roles == {options.ROLE_SERVICE}
    assert follow.long_lived
    assert not follow.public
    assert policy_of("/quietus.identity.v1.TokenService/LogIn").public
