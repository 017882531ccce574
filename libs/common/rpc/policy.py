"""Who may call a method, as its contract says. A method that says nothing is refused to everybody."""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor

from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.options_pb2 import Role, access, long_lived


@dataclass(frozen=True, slots=True)
class MethodPolicy:
    """Who may call. The relation to the person concerned is decided in the use case, by libs.common.people.Access."""

    public: bool = False
    roles: frozenset[int] = frozenset()
    scopes: frozenset[str] = frozenset()
    long_lived: bool = False
    foreign: bool = False
    """Not ours: a service of gRPC itself, for probes and tools."""

    def check(self, caller: Caller) -> None:
        """PERMISSION_DENIED POLICY_MISSING, ROLE_NOT_ALLOWED, SCOPE_MISSING."""
        if self.public:
            return
        if not self.roles:
            raise AppError(ErrorKind.PERMISSION_DENIED, "POLICY_MISSING", "nobody may call this method")
        if caller.role not in self.roles:
            role = Role.Name(caller.role).removeprefix("ROLE_").lower()
            raise AppError(ErrorKind.PERMISSION_DENIED, "ROLE_NOT_ALLOWED", metadata={"role": role})
        if missing := self.scopes - caller.scopes:
            metadata = {"scopes": " ".join(sorted(missing))}
            raise AppError(ErrorKind.PERMISSION_DENIED, "SCOPE_MISSING", metadata=metadata)


# Services without our options. Whether reflection is offered at all is decided by the setting `reflection`.
FOREIGN = {
    "/grpc.health.v1.Health/Check": MethodPolicy(public=True, foreign=True),
    "/grpc.health.v1.Health/List": MethodPolicy(public=True, foreign=True),
    "/grpc.health.v1.Health/Watch": MethodPolicy(public=True, foreign=True, long_lived=True),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": MethodPolicy(
        public=True, foreign=True, long_lived=True
    ),
}


def policy_of(path: str) -> MethodPolicy:
    """The policy of /package.Service/Method; one that refuses everybody when the contract says nothing."""
    return FOREIGN.get(path) or _policy_in(_descriptor(path))


def methods_without_policy(service_names: Iterable[str]) -> list[str]:
    """Paths of the methods that nobody can call, for a test that wants none."""
    services = [descriptor_pool.Default().FindServiceByName(name) for name in service_names]
    paths = [f"/{service.full_name}/{method.name}" for service in services for method in service.methods]
    return [path for path in paths if not (policy_of(path).public or policy_of(path).roles)]


def _policy_in(descriptor: MethodDescriptor | None) -> MethodPolicy:
    if descriptor is None:
        return MethodPolicy()
    options = descriptor.GetOptions()
    said = options.Extensions[access]
    return MethodPolicy(
        public=said.public,
        roles=frozenset(said.roles),
        scopes=frozenset(said.scopes),
        long_lived=options.Extensions[long_lived],
    )


def _descriptor(path: str) -> MethodDescriptor | None:
    try:
        return descriptor_pool.Default().FindMethodByName(path.removeprefix("/").replace("/", "."))
    except KeyError:
        return None
