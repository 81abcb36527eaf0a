"""slurm.conf and gres.conf of a private cluster.

Time-outs are short, where those of a real cluster would make tests wait for minutes.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from benchmarks.runs.errors import BadInput
from slurm.minicluster.settings import Settings

KILL_WAIT_S = 5  # between SIGTERM and SIGKILL, for a job cancelled or at its time limit
GRACE_S = 10  # between the signal to a preempted job and its end


def slurm_conf(folder: Path, settings: Settings) -> str:
    """The cluster's slurm.conf. `settings` must have a port and an authentication chosen."""
    host, address, user = socket.gethostname().split(".")[0], own_address(), os.geteuid()
    port, nodes = settings.port, settings.nodes
    munge = f"socket={munge_socket(folder)}," if settings.auth == "munge" else ""
    gres = f" Gres=gpu:fake:{settings.gpus}" if settings.gpus else ""
    return f"""\
ClusterName=mini
SlurmctldHost={host}({address})
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/{settings.auth}
CredType=cred/{settings.auth}
# A requeued job waits until its old credential has expired.
AuthInfo={munge}cred_expire=5

StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={log_file(folder, "slurmctld")}
SlurmdLogFile={log_file(folder, "slurmd-%n")}

# Nothing that needs root, cgroups, a database or a mail server.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
{"GresTypes=gpu" if settings.gpus else ""}

# Cores, memory and GPUs are as written here, whatever the host has.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU={settings.memory_mb // settings.cpus}

SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait={KILL_WAIT_S}
SlurmdTimeout={settings.slurmd_timeout_s}
ReturnToService=2
# Jobs stay known for an hour after their end.
MinJobAge=3600

NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr={address} Port=[{port + 1}-{port + nodes}] \
CPUs={settings.cpus} RealMemory={settings.memory_mb}{gres}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=10 GraceTime={GRACE_S}
PartitionName=short Nodes=ALL MaxTime=1 PriorityTier=10 GraceTime={GRACE_S}
PartitionName=high Nodes=ALL MaxTime=INFINITE PriorityTier=20 PreemptMode=OFF
"""


def own_address() -> str:
    """The address of this host's name, the only one that daemons listen on.

    Raises BadInput if the name has no address.
    """
    name = socket.gethostname()
    try:
        return socket.gethostbyname(name)
    except OSError as error:
        raise BadInput(
            f"this machine does not know its own name {name}; echo 127.0.0.1 {name} >> /etc/hosts"
        ) from error


def gres_conf(folder: Path, settings: Settings) -> str:
    """The cluster's gres.conf, for at least one GPU."""
    return (
        f"NodeName=n[1-{settings.nodes}] Name=gpu Type=fake "
        f"File={folder}/gpu[0-{settings.gpus - 1}]\n"
    )


def munge_socket(folder: Path) -> Path:
    """Where the cluster's own munged listens."""
    return folder / "run" / "munge.socket"


def log_file(folder: Path, daemon: str) -> Path:
    """Log of slurmctld, of slurmd-NODE (and of the jobs' step managers there), of munged."""
    return folder / "log" / f"{daemon}.log"
