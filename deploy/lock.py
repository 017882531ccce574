"""Resolves the locks anew: `python -m deploy.lock`. Universal, hashed, free of addresses."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMON = (
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-header",
    "--no-emit-index-url",
    "--no-emit-package=quietus-protos",
    "--no-emit-package=quietus-edge",
    "--quiet",
)
RUNTIME = ("pyproject.toml", "protos/pyproject.toml", "libs/edge/pyproject.toml", "--output-file=requirements.lock")
DEVELOPMENT = ("--group=pyproject.toml:dev", "--constraints=requirements.lock", "--output-file=requirements-dev.lock")
RESEARCH = (
    "--group=pyproject.toml:research",
    "--constraints=requirements.lock",
    "--output-file=requirements-research.lock",
)


def main() -> None:
    uv = Path(sys.executable).parent / "uv"
    for inputs in (RUNTIME, DEVELOPMENT, RESEARCH):
        subprocess.run([uv, "pip", "compile", *COMMON, *inputs], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
