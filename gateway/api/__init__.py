"""HTTP in and out: routes, strict JSON, problems, answers."""
