"""The edge to Kubernetes: what is compared (pure), what is cached, and the only client."""
