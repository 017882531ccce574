"""`python -m tests.fusion.golden` writes anew what fusion makes of each story. Read the difference first."""

from tests.fusion.golden.stories import paths, played, read, written


def main() -> None:
    for path in paths():
        text = written(played(read(path)))
        if text != path.read_text():
            path.write_text(text)
            print(f"changed: {path.name}")  # noqa: T201 - a command line prints


if __name__ == "__main__":
    main()
