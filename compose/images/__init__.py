"""What the container image is built from, and the two jobs that run in it before the services do."""
