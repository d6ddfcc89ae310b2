"""Two hosts on one machine: network and host name of their own, a switch between them, an sshd on each, one file system. Call from
inside of isolation.enter(), with `baleen` on the PATH, which is that of both hosts."""

import os
import pathlib
import subprocess

from isolation import find, run
from slurm import wait_until

PROGRAMS = ["unshare", "nsenter", "ip", "sshd", "ssh", "ssh-keygen", "mpirun"]

SSHD = """\
Port 22
ListenAddress {address}
HostKey {folder}/host_{name}
AuthorizedKeysFile {folder}/id.pub
PidFile {folder}/sshd_{name}.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
StrictModes no
PrintMotd no
SetEnv PATH={path}
"""
SSH = """\
IdentityFile {folder}/id
IdentitiesOnly yes
UserKnownHostsFile {folder}/known
StrictHostKeyChecking yes
BatchMode yes
LogLevel ERROR
"""


class TwoHosts:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / "hosts"
        self.folder.mkdir()
        self.addresses = {"a": "10.97.0.1", "b": "10.97.0.2"}
        self.shells = {}
        for key in ("host_a", "host_b", "id"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key)
        (self.folder / "known").write_text("".join(
            f"{name},{address} {' '.join((self.folder / f'host_{name}.pub').read_text().split()[:2])}\n"
            for name, address in self.addresses.items()))
        (self.folder / "ssh_config").write_text(SSH.format(folder=self.folder))
        names = self.folder / "names"
        names.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in self.addresses.items()))
        run("mount", "--bind", names, "/etc/hosts")
        os.makedirs("/run/sshd", exist_ok=True)
        run("ip", "link", "add", "switch", "type", "bridge")
        run("ip", "link", "set", "switch", "up")
        for name in self.addresses:
            self._start(name)

    def _start(self, name):
        host = subprocess.Popen(["unshare", "--net", "--uts", "sh", "-c", f"hostname {name}; echo; exec sleep infinity"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        host.stdout.readline()  # from here on its namespaces are there
        self.shells[name] = host
        run("ip", "link", "add", f"port_{name}", "type", "veth", "peer", "name", "eth0", "netns", host.pid)
        run("ip", "link", "set", f"port_{name}", "master", "switch", "up")
        for words in (["ip", "link", "set", "lo", "up"], ["ip", "addr", "add", f"{self.addresses[name]}/24", "dev", "eth0"],
                      ["ip", "link", "set", "eth0", "up"]):
            run(*self.on(name, *words))
        configuration = self.folder / f"sshd_{name}"
        configuration.write_text(SSHD.format(folder=self.folder, name=name, address=self.addresses[name],
                                             path=os.environ["PATH"]))
        run(*self.on(name, find("sshd"), "-f", configuration))
        wait_until(lambda: (self.folder / f"sshd_{name}.pid").exists(), 10, f"no sshd on host {name}")

    def on(self, name, *words):
        """The command that runs `words` on a host."""
        return ["nsenter", "--target", str(self.shells[name].pid), "--net", "--uts", *map(str, words)]

    def environment(self):
        """How mpirun reaches the other host."""
        return {"OMPI_MCA_plm_rsh_agent": f"ssh -F {self.folder}/ssh_config"}

    def pull_cable(self, name):
        run("ip", "link", "set", f"port_{name}", "down")

    def processes(self, name):
        """What runs on a host, but for its sshd and its shell."""
        here = os.readlink(f"/proc/{self.shells[name].pid}/ns/net")
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "ns/net") == here:
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    if words and not words.startswith(("sleep infinity", "sshd:")):
                        found[int(entry.name)] = words
            except OSError:
                continue
        return found
