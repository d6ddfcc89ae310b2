"""A real Slurm of one node for a test: munged, slurmctld and slurmd in a folder of their own. Call from inside of isolation.enter()."""

import os
import pathlib
import subprocess
import time

from isolation import find, run

PROGRAMS = ["unshare", "ip", "munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "mpirun"]
ADDRESS = "10.96.0.1"  # some plugins refuse the loopback device
HOST = "node1"

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}({address})
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,requeue_delay=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=300
NodeName={host} NodeAddr={address} CPUs=2 Sockets=1 CoresPerSocket=2 ThreadsPerCore=1 RealMemory=1000 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=20 MaxTime=60 State=UP OverSubscribe=NO
PartitionName=high Nodes={host} PriorityTier=10 PreemptMode=OFF MaxTime=60 State=UP OverSubscribe=NO
"""


class Slurm:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / "slurm"
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        (self.folder / "munge").chmod(0o755)
        run("hostname", HOST)
        run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        run("ip", "addr", "add", f"{ADDRESS}/24", "dev", "eth0")
        for device in ("eth0", "eth1"):
            run("ip", "link", "set", device, "up")
        hosts = self.folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{ADDRESS} {HOST}\n")
        run("mount", "--bind", hosts, "/etc/hosts")
        configuration = self.folder / "slurm.conf"
        configuration.write_text(CONFIGURATION.format(folder=self.folder, host=HOST, address=ADDRESS))
        os.environ["SLURM_CONF"] = str(configuration)
        self.daemons = []

    def __enter__(self):
        munge = self.folder / "munge"
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o600)
        self._start("munged", "--foreground", f"--key-file={munge}/key", f"--socket={munge}/socket", f"--pid-file={munge}/pid",
                    f"--log-file={munge}/log", f"--seed-file={munge}/seed", "--num-threads=2")
        wait_until(lambda: (munge / "socket").exists(), 10, "munged made no socket", self.logs)
        configuration = os.environ["SLURM_CONF"]
        self._start("slurmctld", "-D", "-f", configuration)
        self._start("slurmd", "-D", "-f", configuration, "-N", HOST)
        wait_until(lambda: run("sinfo", "-h", "-p", "low", "-o", "%t", code=None).strip() == "idle", 30, "no node became idle",
                   self.logs)
        return self

    def __exit__(self, *_):
        for daemon in self.daemons:  # jobs, and whatever else is left, end with the namespaces
            daemon.kill()
            daemon.wait()

    def _start(self, program, *words):
        output = open(self.folder / f"{program}.out", "w")
        self.daemons.append(subprocess.Popen([find(program), *map(str, words)], stdout=output, stderr=subprocess.STDOUT,
                                             stdin=subprocess.DEVNULL))

    def logs(self):
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-2000:]}"
                         for file in [*sorted(self.folder.glob("*.log")), *sorted(self.folder.glob("*.out")), *self.folder.glob("munge/log")])

    @staticmethod
    def state(job):
        """PENDING, RUNNING, COMPLETED …, and how often it was restarted."""
        words = dict(word.split("=", 1) for word in run("scontrol", "-o", "show", "job", job).split() if "=" in word)
        return words["JobState"], int(words["Restarts"]), words["ExitCode"]

    def wait_for(self, job, states, seconds):
        """Waits until a job is in one of these states; returns (state, restarts, exit code)."""
        wait_until(lambda: self.state(job)[0] in states, seconds, f"job {job} did not become {' or '.join(states)}",
                   lambda: f"{self.state(job)}\n{self.logs()}")
        return self.state(job)


def wait_until(condition, seconds, message, details=lambda: ""):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{message} within {seconds} s\n{details()}")
        time.sleep(0.1)
