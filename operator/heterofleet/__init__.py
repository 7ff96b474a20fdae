"""Heterofleet: one Kubernetes resource for a fleet of a large planning model, small executing models and their router."""
