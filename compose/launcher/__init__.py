"""The single-machine launcher: the whole stack under one supervisor."""
