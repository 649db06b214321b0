"""The operators' commands; each is a thin layer over what it names."""
