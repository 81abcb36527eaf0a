"""A private, throw-away Slurm on one machine.

A controller and several nodes with configuration, ports and folders of their own.

For trying sweeps before they go to a real cluster, and for the tests. Daemons and jobs are real;
what it lacks of a cluster is accounting (slurmdbd), cgroups and a second machine.
"""
