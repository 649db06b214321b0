"""What follows from mesh.toml: pure functions from the mesh, addresses and paths to configuration texts."""
