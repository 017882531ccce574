"""What runs inside of containers besides the services."""
