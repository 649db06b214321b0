"""The parts of the status page: escaping markup, its style, the plot of lives, the tables. Pure."""
