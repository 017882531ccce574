"""What at least two services share, and that knows no service.

gRPC reads its switches when it is imported, which is after this. What the environment says stands.

- Of a server's sockets its event engine lets threads wake each other for every message; without it the thread that
  waits for calls reads them itself (ADR 28).
- Its handlers of fork start threads in the child, and while calls run every tenth child dies of them. We fork only to
  start other programs, which have no use for them.
"""

import os

os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
