"""The contest of policies on real traces: what `make bench-scaling` is made of.

traces     work by minutes, from the CSV files of tests/data/traces, and variants of it
curve      GPU-hours over violating share, and what lies between its points
fields     fleets, pools and forecasts that the runs share
contest    one tier: the product's curve by quantile against the best HPA in hindsight, and the harness's own check
joint      two tiers: against the oracle, each part switched off, and with too few GPUs
mixed      a mixed fleet against all-large
"""
