"""A private, throw-away Slurm on one machine.

A controller and several nodes with configuration, ports and folders of their own.

For trying sweeps before using a real cluster, and for tests. Daemons and jobs are real; unlike a
real cluster it has no accounting (slurmdbd), no cgroups and only one machine.
"""
