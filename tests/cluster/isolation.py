"""Namespaces of its own for a test that starts daemons and networks: what it makes ends with it, however it ends.

A script calls enter(), which starts it anew inside of `unshare`: with its own processes, network, host name, mounts and IPC. When that
process ends, even by SIGKILL of anything, the kernel ends all others in there and takes the networks away.
"""

import os
import shutil
import subprocess
import sys

SKIPPED = 77
INSIDE = "BALEEN_CLUSTER_INSIDE"
NAMESPACES = ["--pid", "--net", "--uts", "--mount", "--ipc", "--fork", "--kill-child", "--mount-proc"]


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def enter(programs, host="a"):
    """Goes on inside of fresh namespaces, on a host of this name with a loopback device; skips where that can't be."""
    if os.environ.get(INSIDE):
        run("mount", "--make-rprivate", "/")
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        run("hostname", host)
        run("ip", "link", "set", "lo", "up")
        return
    missing = [program for program in programs if not find(program)]
    if missing:
        skip(f"not installed: {', '.join(missing)} (launch/install.sh tests installs it as root)")
    if os.geteuid() != 0:
        skip("daemons, namespaces and networks need root")
    trial = subprocess.run(["unshare", *NAMESPACES, "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True, text=True)
    if trial.returncode != 0:
        skip(f"no namespaces here: {trial.stderr.strip()}")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", *NAMESPACES, sys.executable, "-B", *sys.argv])


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def run(*words, code=0, **options):
    """Runs a command of the set-up; returns what it printed."""
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          **options)
    if code is not None and done.returncode != code:
        raise AssertionError(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stdout}")
    return done.stdout
