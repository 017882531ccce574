"""What at least two services share, and that knows no service.

gRPC reads its switches when it is imported, which is after this. Of a server's sockets its event engine lets threads
wake each other for every message; without it the thread that waits for calls reads them itself (ADR 28). What the
environment says stands.
"""

import os

os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
