"""The audit log: what a row is, how rows are chained, and how much of a flood becomes rows (pure)."""
