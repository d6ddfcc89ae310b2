"""The commands of docs/resume.md, with signals and kills in between: the same bytes in the end."""

import json
import os
import signal
import subprocess
import tempfile
import time

import isolation

isolation.enter(["unshare", "ip", "mpirun"])

from runs import RUN, commands_in, environment, expect_reference, harness, has_checkpoint, launch_events, main, prepare, shell  # noqa: E402
from slurm import wait_until  # noqa: E402

GUIDE = "resume.md"


class Typed:
    """A line that was typed into a terminal: it leads a process group, which is what Ctrl-C reaches."""

    def __init__(self, line, directory):
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(line.split(), cwd=directory, env=environment(), stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, process_group=0)

    def printed(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def ctrl_c(self):
        os.killpg(self.process.pid, signal.SIGINT)


def ranks():
    """Process numbers of all ranks in this namespace."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and b"OMPI_COMM_WORLD_RANK=" in open(f"/proc/{name}/environ", "rb").read():
                found.append(int(name))
        except OSError:
            continue
    return found


def test(directory):
    reference = prepare(directory, epochs=3)
    [line] = commands_in(GUIDE, "start")
    first = Typed(line, directory)
    wait_until(lambda: has_checkpoint(directory) or first.process.poll() is not None, 60, "no checkpoint", first.printed)
    pressed = time.monotonic()
    first.ctrl_c()
    code = first.process.wait(30)
    print(f"Ctrl-C: exit code {code} after {time.monotonic() - pressed:.1f} s")
    harness.expect(code == 75, f"exit code {code} instead of 75\n{first.printed()}")
    harness.expect(not ranks(), f"ranks are left: {ranks()}")
    for look in commands_in(GUIDE, "look"):
        shell(look, directory)

    # A rank is killed while nobody is there: the supervisor starts again by itself.
    [line] = commands_in(GUIDE, "again")
    again = Typed(line, directory)
    newest = lambda: sorted(file.name for file in (directory / RUN).glob("chains/*/checkpoint-*.json"))  # noqa: E731
    before = newest()
    wait_until(lambda: newest() != before and len(ranks()) == 2 or again.process.poll() is not None, 60, "no progress", again.printed)
    harness.expect(again.process.poll() is None, f"it was done before it could be hurt\n{again.printed()}")
    os.kill(ranks()[0], signal.SIGKILL)
    wait_until(lambda: [event["event"] for event in launch_events(directory)].count("started") == 3, 60, "no restart", again.printed)
    wait_until(lambda: len(ranks()) == 2, 30, "no ranks after the restart", again.printed)
    again.ctrl_c()
    code = again.process.wait(60)
    harness.expect(code == 75, f"exit code {code} instead of 75\n{again.printed()}")

    [line] = commands_in(GUIDE, "other")
    shell(line, directory)
    expect_reference(directory, reference, "after a signal, a kill and another number of ranks")
    for look in commands_in(GUIDE, "look"):
        shell(look, directory)
    events = launch_events(directory)
    harness.expect([event["exit_code"] for event in events if event["event"] == "ended"][0] == 75, json.dumps(events, indent=1))


main(test)
