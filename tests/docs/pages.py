"""The pages of the project, and what they name."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "adr").glob("*.md"),
        *(ROOT / "docs" / "science").glob("*.md"),
        *(ROOT / "libs").glob("**/README.md"),
        *(ROOT / "services").glob("*/README.md"),
    ]
)

_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)#\s]+)\)")
_MODULE_RUN = re.compile(r"-m ([a-z_]\w*(?:\.\w+)*)(?![\w.])")
_DOTTED = re.compile(r"(?:services|libs|deploy|bench|quietus_edge)(?:\.\w+)+")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def code_spans(text: str) -> list[str]:
    return _CODE_SPAN.findall(text)


def linked_files(page: Path) -> list[Path]:
    """Targets of relative links."""
    return [page.parent / target for target in _LINK.findall(page.read_text()) if "://" not in target]


def named_paths(page: Path) -> list[Path]:
    """Paths below the project that stand in a code span and begin with one of its folders."""
    folders = {child.name for child in ROOT.iterdir() if child.is_dir() and not child.name.startswith(".")}
    spans = [span.rstrip("/") for span in code_spans(page.read_text())]
    return [
        ROOT / span
        for span in spans
        if "/" in span and span.split("/")[0] in folders and re.fullmatch(r"[\w./-]+", span)
    ]


def run_modules(page: Path) -> list[str]:
    """What `python -m` is called with, where the page means a module of ours."""
    text = page.read_text()
    return [name for name in _MODULE_RUN.findall(text) if name.split(".")[0] in {"services", "libs", "deploy", "bench"}]


def dotted_names(page: Path) -> list[str]:
    return [span for span in code_spans(page.read_text()) if _DOTTED.fullmatch(span)]


def module_file(dotted: str) -> Path | None:
    """The file or folder of a module; None when there is none."""
    base = ROOT / "libs" / "edge" if dotted.startswith("quietus_edge") else ROOT
    path = base.joinpath(*dotted.split("."))
    return next((one for one in (path.with_suffix(".py"), path) if one.exists()), None)


def tracked_files() -> list[Path]:
    """Empty where the project isn't a git checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
