"""What gRPC is told before it is imported."""

import subprocess
import sys

import pytest

STARTS = """
import asyncio, grpc.aio
async def start():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await server.stop(None)
asyncio.run(start())
"""
# As another user: subprocess forks for that, where it would spawn otherwise.
FORKS = """
import asyncio, os, subprocess, threading, libs.common, grpc, grpc.aio
async def call(running):
    server = grpc.aio.server()
    async def echo(request, context):
        return request
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Echo": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        while running.is_set():
            await channel.unary_unary("/test.Echo/Echo")(b"")
            called.set()
    await server.stop(None)
running, called = threading.Event(), threading.Event()
running.set()
caller = threading.Thread(target=lambda: asyncio.run(call(running)))
caller.start()
called.wait()
ends = {subprocess.run(["true"], user=os.geteuid()).returncode for _ in range(200)}
running.clear()
caller.join()
print(ends)
"""
WATCHES = """
import os, sys
class Watch:
    def find_spec(self, name, path, target=None):
        if name == "grpc":
            print(os.environ.get("GRPC_EXPERIMENTS"))
            sys.meta_path.remove(self)
sys.meta_path.insert(0, Watch())
"""


@pytest.mark.parametrize("service", ["identity", "ingest", "fusion", "patterns", "alerts"])
def test_every_service_says_it_before_the_import(service: str) -> None:
    seen = _run(f"{WATCHES}\nimport services.{service}.__main__")
    assert seen.stdout.split() == ["-event_engine_listener"]


def test_what_the_environment_says_stands() -> None:
    code = "import os; os.environ['GRPC_EXPERIMENTS'] = ''\nimport libs.common; print(os.environ['GRPC_EXPERIMENTS'])"
    assert _run(code).stdout == "\n"


def test_the_installed_runtime_knows_the_switch() -> None:
    """It says so when it doesn't, and goes on."""
    assert "Unknown experiment" in _run("import os; os.environ['GRPC_EXPERIMENTS'] = '-nonsense'" + STARTS).stderr
    assert "Unknown experiment" not in _run("import libs.common" + STARTS).stderr


def test_programs_start_while_calls_run() -> None:
    assert _run(FORKS).stdout == "{0}\n"


def _run(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
