"""The command `heterofleet`: what people and CI ask of fleets, offline and in a cluster."""
