"""`python -m bench soak`: random faults for as long as you like; after each, whether ingest has kept its promise."""

import argparse
import asyncio
import json
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.report import machine
from deploy.local.supervisor import StartError
from tests.e2e.checker import report
from tests.e2e.faults import FAULTS, nothing_happens
from tests.e2e.reaper import guarded
from tests.e2e.snapshot import make_snapshot
from tests.e2e.stage import Fault, Round, Stage, TooLittleToSendError, open_stage

# Between faults that end a process, so that a process lives long enough to be seen to grow.
LIVES_ROUNDS = 20
MEGABYTE = 1e6


@dataclass
class Soak:
    """What has happened so far. Memory is ingest's, after each round of one process's life."""

    rounds: int = 0
    predictions: int = 0
    violations: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    lives: dict[int, list[float]] = field(default_factory=dict)

    def add(self, name: str, played: Round, process_id: int) -> None:
        self.rounds += 1
        self.predictions += played.acknowledged
        self.violations += len(played.violations)
        self.faults[name] += 1
        self.lives.setdefault(process_id, []).append(psutil.Process(process_id).memory_info().rss / MEGABYTE)

    def figures(self, died: int) -> dict[str, float]:
        longest = max(self.lives.values(), key=len)
        return {
            "rounds": self.rounds,
            "predictions_acknowledged": self.predictions,
            "violations": self.violations,
            "died_of_their_own": died,
            "rss_mb_first": longest[0],
            "rss_mb_last": longest[-1],
            "rss_growth_mb": longest[-1] - longest[0],
            "rss_rounds": len(longest),
        }


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("soak", help="random faults, and what ingest makes of them", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="default: %(default)g")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.set_defaults(run=command)


def command(arguments: argparse.Namespace) -> int:
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    try:
        soak, died = asyncio.run(run(arguments.minutes * 60, seed))
    except (StartError, AssertionError, TimeoutError) as error:
        print(f"bench: {error or 'no answer in time'} (seed {seed})", file=sys.stderr)
        return 1
    figures = soak.figures(sum(died.values()))
    for name, value in figures.items():
        print(f"{name:32}{value:>12,.1f}")
    if arguments.json:
        told = {"bench": "soak", "figures": figures, "faults": soak.faults, "seed": seed, "machine": machine()}
        print(json.dumps(told))
    return 1 if soak.violations or died else 0


async def run(seconds: float, seed: int) -> tuple[Soak, dict[str, int]]:
    """What happened, and who ended without being killed."""
    soak = Soak()
    rng = random.Random(seed)
    async with _stage(seed) as stage:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            name = _choose(stage, rng, soak.rounds)
            began = time.monotonic()
            try:
                played = await stage.play(FAULTS.get(name) or Fault(nothing_happens), seed + soak.rounds)
            except TooLittleToSendError:
                continue
            process_id = stage.suite.process_id("ingest")
            assert process_id
            soak.add(name, played, process_id)
            took = time.monotonic() - began
            print(f"{soak.rounds:5} {name:40}{played.acknowledged:>8,} acknowledged {took:6.1f} s", flush=True)
            if played.violations:
                print(report(played.violations), file=sys.stderr, flush=True)
        return soak, stage.suite.died_of_their_own()


def _choose(stage: Stage, rng: random.Random, rounds: int) -> str:
    names = [name for name in FAULTS if stage.disk_is_small or name != "the_disk_is_full"]
    if rounds % LIVES_ROUNDS:
        names.remove("ingest_is_killed")
        return rng.choice(names)
    return "ingest_is_killed" if rounds else nothing_happens.__name__


@asynccontextmanager
async def _stage(seed: int) -> AsyncIterator[Stage]:
    """In a folder that goes with it, whatever ends this process."""
    folder = Path(tempfile.mkdtemp(prefix="quietus-soak-"))
    with guarded(folder):
        snapshot = await make_snapshot(folder / "snapshot")
        async with open_stage(snapshot, "soak", seed) as stage:
            yield stage
