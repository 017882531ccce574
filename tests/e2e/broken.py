"""Ways in which a build of ingest may be broken; `tests.e2e.broken_ingest` is broken in the one that a file names."""

ACKNOWLEDGES_FIRST = "acknowledges first"
STORES_TWICE = "stores twice"
STORES_SOMETHING_ELSE = "stores something else"
TELLS_TWICE = "tells twice"
TELLS_TOO_LITTLE = "tells too little"
TELLS_OUT_OF_ORDER = "tells out of order"
