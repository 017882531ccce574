"""`python -m services.alerts`: serves until SIGTERM. `python -m services.alerts parked list|retry`: what a follower parked."""
