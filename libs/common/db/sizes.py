"""How many connections everybody may hold, so that no slice starves another on one server."""

# What the embedded server accepts; a few of them are Postgres's own reserve for administrators.
SERVER_CONNECTIONS = 100
# Connections of all pools together stay below this: the rest is for migrations, backups and people.
POOLED_CONNECTIONS = 60

# A pool's connections are held for one transaction each; two cores are busy with fewer than these.
POOL_SIZES = {"identity": 6, "ingest": 12, "fusion": 8, "patterns": 8, "alerts": 8}
# Beside its pool a service holds one direct connection, on which it listens.
DIRECT_CONNECTIONS = 1
