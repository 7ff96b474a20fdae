"""Runs one rank of an engine, so that the ranks of a group live, drain and restart as one without the operator.

This folder is shipped as text: all its *.py files lie in a ConfigMap, mounted into the unmodified engine image and
started there, hence the standard library only and Python >= 3.9. The operator reads the files and never imports them.

    python3 /heterofleet/supervisor -- vllm serve {model} ARGUMENTS

A life: bring the model (download.py), find the group, start the engine, watch, leave (life.py). Every start has an
*epoch*. The leader (rank 0) gathers its workers' epochs and publishes them as the group's *members*; a worker starts
when it is named there. From then on one changed epoch ends the group: who sees it leaves, the kubelet restarts the
container, and ranks that have not started yet simply take the new epoch. Only the leader asks all ranks and workers
ask the leader, so there is one view to agree with and no storm: a rank leaves once for each failure.

group.py decides (pure), settings.py reads the environment, the others touch the world. The relative imports let the
same files run as the package of the repository and as whatever folder they are mounted in.
"""
