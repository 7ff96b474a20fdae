"""Numbers in, numbers out: what a fleet needs, with the time as an argument and no input or output of its own."""
