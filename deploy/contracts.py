"""Generates the stubs of protos/ and checks the contracts: `python -m deploy.contracts generate|check|release`."""

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import google.api
import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
RELEASED = PROTOS / "released.binpb"
GOOGLEAPIS_MODULE = ROOT / ".buf" / "googleapis"
STUB_PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")
BIN = Path(sys.executable).parent


def proto_files() -> list[str]:
    return sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "quietus").rglob("*.proto"))


def googleapis_folder() -> Path:
    """The folder of the wheel googleapis-common-protos that holds google/api/*.proto."""
    return Path(next(iter(google.api.__path__))).parent.parent


def generate(target: Path) -> None:
    """Writes stubs and their types for every proto below `target`."""
    failed = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={googleapis_folder()}",
            f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",
            f"--plugin=protoc-gen-mypy={BIN / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={BIN / 'protoc-gen-mypy_grpc'}",
            f"--python_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_out=quiet:{target}",
            f"--mypy_grpc_out=quiet:{target}",
            *proto_files(),
        ]
    )
    if failed:
        raise SystemExit("protoc failed; see above")


def stubs(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for pattern in STUB_PATTERNS for path in (folder / "quietus").rglob(pattern)}


def regenerate() -> None:
    for stub in stubs(PROTOS):
        (PROTOS / stub).unlink()
    generate(PROTOS)
    print(f"{len(stubs(PROTOS))} stubs of {len(proto_files())} protos")


def differing_stubs() -> list[str]:
    """Stubs that are missing, left over, or not what the protos generate."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        expected, committed = stubs(fresh), stubs(PROTOS)
        changed = {stub for stub in expected & committed if not filecmp.cmp(fresh / stub, PROTOS / stub, shallow=False)}
        return sorted((expected ^ committed) | changed)


def copy_googleapis() -> None:
    """Puts the third-party protos that ours import where buf finds them as a module of their own."""
    target = GOOGLEAPIS_MODULE / "google" / "api"
    shutil.rmtree(GOOGLEAPIS_MODULE, ignore_errors=True)
    target.mkdir(parents=True)
    for name in ("field_behavior.proto", "field_info.proto"):
        shutil.copy(googleapis_folder() / "google" / "api" / name, target / name)


def buf(*arguments: str) -> bool:
    return subprocess.run([BIN / "buf", *arguments], cwd=ROOT, check=False).returncode == 0


def check() -> int:
    """Lints the contracts, compares them with the released ones, and the stubs with the protos."""
    copy_googleapis()
    problems = []
    if not buf("lint"):
        problems.append("buf lint complains; see above")
    if not buf("format", "--diff", "--exit-code", "--path", "protos/quietus"):
        problems.append("protos are not formatted: make format")
    with tempfile.TemporaryDirectory() as folder:
        image = str(Path(folder) / "image.binpb")
        if not buf("build", "--path", "protos/quietus", "--exclude-source-info", "-o", image):
            problems.append("buf build fails; see above")
        elif not buf("breaking", image, "--against", str(RELEASED)):
            problems.append("a change breaks the released contracts; see above")
    if differing := differing_stubs():
        problems.append(f"stubs differ from protos ({', '.join(differing[:5])}): make protos")
    for problem in problems:
        print(f"contracts: {problem}", file=sys.stderr)
    return 1 if problems else 0


def release() -> None:
    copy_googleapis()
    if not buf("build", "--path", "protos/quietus", "--exclude-source-info", "-o", str(RELEASED)):
        raise SystemExit("buf build failed; see above")


def main() -> int:
    parser = argparse.ArgumentParser(prog="deploy.contracts", description=__doc__)
    parser.add_argument("command", choices=("generate", "check", "release"))
    command = parser.parse_args().command
    if command == "check":
        return check()
    regenerate() if command == "generate" else release()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
