"""The test bed: a real Kubernetes control plane with played GPU nodes, for tests, the demo and benchmarks.

``binaries`` finds or builds the programs, ``controlplane`` starts and ends a cluster of them, ``nodes`` and
``stages`` play the machines and the pods on it, ``api`` talks to it. ``python -m testbed`` is the same from a shell.
"""
