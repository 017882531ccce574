"""StreamPredictions over a real channel: what is acknowledged is stored, once."""

from tests.ingest import make
from tests.ingest.suite import Suite


async def test_batches_are_stored_and_acknowledged(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    stream = await person.stream(session_id)
    for number in (1, 2, 3):
        await stream.send(number, make.chunk())
    assert await stream.acknowledged(3) == []
    for table in ("vision_predictions", "audio_predictions", "text_predictions"):
        assert await suite.count(table) == 3
