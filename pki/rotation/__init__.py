"""Rotations: their stages, what each must leave behind, and carrying them out so that any can be killed."""
