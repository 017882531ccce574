"""`python -m services.fusion`: serves until SIGTERM. `python -m services.fusion parked list|retry`: what was parked."""

import asyncio
import sys

from libs.common.feed.cli import parked_main
from libs.common.rpc import app as process
from libs.common.rpc.errors import AppError
from libs.common.settings import load_settings
from services.fusion import app
from services.fusion.registry import load_models
from services.fusion.settings import FusionSettings


def main() -> None:
    settings = load_settings(FusionSettings, app.NAME)
    if sys.argv[1:2] == ["parked"]:
        sys.exit(asyncio.run(_parked(settings)))
    process.run(app.NAME, settings, app.compose)


async def _parked(settings: FusionSettings) -> int:
    database = app.open_database(settings)
    try:
        models = await load_models(database, settings.model)
        return await parked_main(database, app.handlers(models), sys.argv[2:])
    except AppError as error:
        sys.exit(f"fusion: {error}")
    finally:
        await database.close()


if __name__ == "__main__":
    main()
