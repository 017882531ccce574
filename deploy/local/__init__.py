"""The whole suite on one machine: embedded Postgres and every service under one supervisor."""
