"""What the fleet's own processes and Prometheus say in numbers."""
