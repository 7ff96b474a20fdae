"""Heterofleet: one Kubernetes resource for a large planning model, small executing models and their router."""
