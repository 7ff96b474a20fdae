"""What `heterofleet doctor` looks at, one module a subject; each check reads the cluster and judges what it finds."""
