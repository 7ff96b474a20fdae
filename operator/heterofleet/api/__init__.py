"""The vocabulary of Heterofleet: the custom resources, the router's configuration, and the names that stay."""
