"""Which processes of a suite run, by the files that it left of their ids."""

import psutil

from deploy.local.plan import SERVICES, Plan

STOP_SECONDS = 60.0
MODULES = {
    "supervisor": "deploy.local",
    **{service: f"services.{service}" for service in SERVICES},
    "postgres": "libs.common.db.embedded",
}


def running(plan: Plan) -> dict[str, psutil.Process]:
    """By name, in the order in which they are stopped. An id that belongs to another program by now counts as none."""
    found = {name: _process(plan, name) for name in MODULES}
    return {name: process for name, process in found.items() if process}


def stop(plan: Plan) -> list[str]:
    """Ends all of a suite, also what a killed supervisor left behind; the names of what still runs after a while."""
    # The supervisor ends what it keeps running, and Postgres ends when nobody needs it any longer.
    for names in (("supervisor",), SERVICES, ("postgres",)):
        processes = [process for name, process in running(plan).items() if name in names]
        for process in processes:
            process.terminate()
        psutil.wait_procs(processes, STOP_SECONDS)
    still = running(plan)
    for name in MODULES.keys() - still.keys():
        (plan.run_dir / f"{name}.pid").unlink(missing_ok=True)
    return list(still)


def _process(plan: Plan, name: str) -> psutil.Process | None:
    try:
        process = psutil.Process(int((plan.run_dir / f"{name}.pid").read_text()))
        return process if MODULES[name] in process.cmdline() else None
    except (OSError, ValueError, psutil.Error):  # no file, no number, no such process or somebody else's
        return None
