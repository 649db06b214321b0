"""How the parts are put together: the declared mesh, what is derived from it, the single-machine launcher."""
