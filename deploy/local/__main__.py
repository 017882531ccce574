"""`python -m deploy.local up|down|status|device`: the whole suite on this machine."""

import argparse
import asyncio
import errno
import fcntl
import json
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc

from deploy.local.device import register_device
from deploy.local.health import serving
from deploy.local.plan import DEFAULT_PORTS, HOST, SERVICES, Plan, plan_from_environment
from deploy.local.processes import running, stop
from deploy.local.supervisor import supervise
from libs.common.rpc.errors import reason_of

UP_SECONDS = 180.0
POLL_SECONDS = 0.1
FREE_BYTES_AT_LEAST = 512 * 1024 * 1024
COUNSELOR_COMMAND = ".venv/bin/python -m services.identity token --role counselor --minutes 15"


def say(text: str) -> None:
    print(text, flush=True)


def refuse(line: str) -> int:
    print(f"quietus: {line}", file=sys.stderr)
    return 1


def taken_port(plan: Plan) -> str:
    """A line about the first port that something else listens on; empty when all are free."""
    for what, port in plan.all_ports().items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                setting = f"QUIETUS_{what.split()[0].upper()}_PORT"
                return f"port {port} ({what}) is in use; stop what listens there or set {setting}"
    return ""


def obstacle(plan: Plan) -> str:
    """A line about what is in the way of a start; empty when nothing is."""
    if found := running(plan):
        return f"{', '.join(found)} still run without their supervisor; `make down` ends them"
    if shutil.disk_usage(plan.state_dir).free < FREE_BYTES_AT_LEAST:
        return f"less than 512 MiB are free below {plan.state_dir}; make room or set QUIETUS_STATE_DIR"
    return taken_port(plan)


def addresses(plan: Plan) -> dict[str, str]:
    return {service: plan.address(service) for service in SERVICES}


def counselor_command(plan: Plan) -> str:
    """As a shell takes it, with the settings that differ from the defaults."""
    settings = {
        "QUIETUS_SECRETS_DIR": (str(plan.secrets_dir), str(Path(".quietus/secrets").resolve())),
        "QUIETUS_IDENTITY_ADDRESS": (plan.address("identity"), f"{HOST}:{DEFAULT_PORTS['identity']}"),
    }
    assignments = [f"{key}={shlex.quote(value)}" for key, (value, usual) in settings.items() if value != usual]
    return " ".join([*assignments, COUNSELOR_COMMAND])


def up(plan: Plan, as_json: bool) -> int:
    plan.run_dir.mkdir(parents=True, exist_ok=True)
    plan.logs_dir.mkdir(parents=True, exist_ok=True)
    with (plan.run_dir / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return refuse("it is being started by another `make up`")
        return start(plan, as_json)


def start(plan: Plan, as_json: bool) -> int:
    if process := running(plan).get("supervisor"):
        say(
            json.dumps({"running": True, "pid": process.pid, "addresses": addresses(plan)})
            if as_json
            else f"runs already (process {process.pid})"
        )
        return 0
    if problem := obstacle(plan):
        return refuse(problem)
    ready_file = plan.run_dir / "ready.json"
    ready_file.unlink(missing_ok=True)
    with (plan.logs_dir / "supervisor.log").open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", "supervise"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (plan.run_dir / "supervisor.pid").write_text(str(supervisor.pid))
    started = time.monotonic()
    while not ready_file.exists() and supervisor.poll() is None and time.monotonic() - started < UP_SECONDS:
        time.sleep(POLL_SECONDS)
    if not ready_file.exists():
        what = "the supervisor ended" if supervisor.poll() is not None else f"not ready after {UP_SECONDS:.0f} s"
        return refuse(f"{what}; see {plan.logs_dir / 'supervisor.log'}")
    if error := json.loads(ready_file.read_text())["error"]:
        return refuse(error)
    if as_json:
        say(json.dumps({"running": True, "pid": supervisor.pid, "addresses": addresses(plan)}))
        return 0
    for service, address in addresses(plan).items():
        say(f"  {service:<9} {address}   metrics {HOST}:{plan.metrics_port(service)}/metrics")
    say(f"\nA 15-minute token for a demo counselor:\n  {counselor_command(plan)}")
    return 0


def down(plan: Plan) -> int:
    if not running(plan):
        say("nothing runs")
        return 0
    if still := stop(plan):
        return refuse(f"{', '.join(still)} still stop; see {plan.logs_dir}")
    say("stopped")
    return 0


async def status(plan: Plan, as_json: bool) -> int:
    states = dict(zip(SERVICES, await asyncio.gather(*(serving(plan.address(s)) for s in SERVICES)), strict=True))
    if as_json:
        say(json.dumps({"running": bool(running(plan)), "serving": states}))
    else:
        for service, is_serving in states.items():
            say(f"  {service:<9} {plan.address(service)}   {'serving' if is_serving else 'not serving'}")
    return 0 if all(states.values()) else 1


async def device(plan: Plan, key_file: Path | None) -> int:
    file = key_file or plan.secrets_dir / "demo-device.key"
    try:
        await register_device(plan.address("identity"), plan.secrets_dir, file)
    except (OSError, grpc.aio.AioRpcError) as error:
        reason = str(error) if isinstance(error, OSError) else reason_of(error) or error.code().name
        return refuse(f"no device: {reason}; does the suite run (`make up`)?")
    say(f"the API key of a new device of the demo person is in {file}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="deploy.local", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status", "device", "supervise"))
    parser.add_argument("--key-file", type=Path, help="where `device` leaves the key; default: among the secrets")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parsed = parser.parse_args(arguments)
    try:
        plan = plan_from_environment()
    except ValueError as error:
        return refuse(str(error))
    try:
        return carry_out(plan, parsed)
    except OSError as error:
        return refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def carry_out(plan: Plan, parsed: argparse.Namespace) -> int:
    """OSError of the state folder."""
    match parsed.command:
        case "up":
            return up(plan, parsed.json)
        case "down":
            return down(plan)
        case "status":
            return asyncio.run(status(plan, parsed.json))
        case "device":
            return asyncio.run(device(plan, parsed.key_file))
        case _:
            return asyncio.run(supervise(plan, plan.run_dir / "ready.json"))


if __name__ == "__main__":
    raise SystemExit(main())
