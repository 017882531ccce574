"""JSONB through the driver: SQLAlchemy's codec on its connections takes text and gives objects."""

import orjson


def as_jsonb(value: object) -> str:
    return orjson.dumps(value).decode()
