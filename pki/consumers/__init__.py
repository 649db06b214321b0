"""The running things that use certificates: how each takes a new generation, and how that is observed."""
