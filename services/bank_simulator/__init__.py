"""A bank, simulated: idempotent by attempt, durable, and awkward where the instrument asks for it."""
