"""What a fleet should be in the cluster: spec and instance counts in, manifests out. Pure."""
