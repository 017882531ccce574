"""How many connections everybody may hold, so that no slice starves another on one server."""

# What the embedded server accepts; a few of them are Postgres's own reserve for administrators.
SERVER_CONNECTIONS = 100
# What all services hold together stays below this: the rest is for migrations, backups and people.
SERVICE_CONNECTIONS = 60
# Beside its pool a service holds one direct connection, on which it listens.
DIRECT_CONNECTIONS = 1
# What ingest leaves, which may be several processes: for the other services as they are by default, and for migrations,
# backups and people.
OTHER_CONNECTIONS = 34
