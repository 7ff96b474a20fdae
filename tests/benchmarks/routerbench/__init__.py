"""The parts of `make bench-router`: the router beside its peers, each alone on one core in the same run.

    bodies, engines ->  systems (ours, peers)  -> wrk, sampled, openloop, streams, resting -> rows -> figures
    conversations   ->  the prefix policy on simulated engines, in virtual time

What is decided here alone is which runs count; `benchmarks.router` says what is run, and against which targets.
"""
