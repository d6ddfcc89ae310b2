"""On two hosts: mpirun between them, a cable that is pulled in mid-epoch, the supervisor going on with the host that is left.

Usage: two_hosts_test.py CASE
"""

import os
import subprocess
import sys
import tempfile
import time

import isolation
import two_hosts

isolation.enter(two_hosts.PROGRAMS, host="switch")

from runs import commands_in, environment, expect_reference, harness, has_checkpoint, launch_events, main, prepare, shell  # noqa: E402
from slurm import wait_until  # noqa: E402

GUIDE = "cluster.md"
NAMED_WITHIN_S = 30


def on_a(hosts, line):
    """A line of the guide, typed on host a."""
    return " ".join(hosts.on("a", *line.split()))


def trains(directory, reference, hosts):
    variables = environment(**hosts.environment())
    [line] = commands_in(GUIDE, "hosts")
    shell(on_a(hosts, line), directory, env=variables)
    record = harness.journal(directory / "runs/planet")[0]
    harness.expect(record["hosts"] == ["a", "b"], f"the ranks were on {record['hosts']}")
    expect_reference(directory, reference, "on two hosts")
    text = shell(on_a(hosts, "mpirun -H a:1,b:1 baleen doctor --dir ."), directory, env=variables)
    for words in ("2 on 2 hosts: a×1 b×1", "from rank 0 to 1 others", "every rank sees ."):
        harness.expect(words in text, f"the doctor does not say '{words}':\n{text}")
    [line] = commands_in(GUIDE, "print")
    printed = shell(on_a(hosts, line), directory, env=variables)
    harness.expect("-H a:1,b:1" in printed and "oob_tcp_keepalive_time" in printed, printed)


def cable(directory, reference, hosts):
    [line] = commands_in(GUIDE, "launch")
    output = tempfile.TemporaryFile()
    printed = lambda: (output.seek(0), output.read().decode(errors="replace"))[1]  # noqa: E731
    job = subprocess.Popen(hosts.on("a", *line.split()), cwd=directory, env=environment(**hosts.environment()), stdin=subprocess.DEVNULL,
                           stdout=output, stderr=subprocess.STDOUT)
    wait_until(lambda: has_checkpoint(directory) or job.poll() is not None, 60, "no checkpoint was saved", printed)
    harness.expect(job.poll() is None and hosts.processes("b"), f"host b does not take part\n{printed()}")
    pulled = time.time()
    hosts.pull_cable("b")
    wait_until(lambda: any(event["event"] == "host_lost" for event in launch_events(directory)), 60, "nobody named host b", printed)
    [lost] = [event for event in launch_events(directory) if event["event"] == "host_lost"]
    print(f"host {lost['host']} was named {lost['time'] - pulled:.1f} s after its cable was pulled")
    harness.expect(lost["host"] == "b" and lost["time"] - pulled <= NAMED_WITHIN_S, f"{lost}, pulled at {pulled}\n{printed()}")
    wait_until(lambda: not hosts.processes("b"), 30, "processes are left on host b", lambda: str(hosts.processes("b")))
    code = job.wait(120)
    harness.expect(code == 0, f"the supervisor ended with {code}\n{printed()}")
    harness.expect("host b does not answer" in printed(), printed())
    starts = [record["hosts"] for record in harness.journal(directory / "runs/planet") if record["type"] == "run_started"]
    harness.expect(starts == [["a", "b"], ["a"]], f"the starts were on {starts}")
    expect_reference(directory, reference, "after a lost host")


CASES = {case.__name__: case for case in (trains, cable)}


def test(directory):
    reference = prepare(directory)
    os.environ.update(environment())
    CASES[sys.argv[1]](directory, reference, two_hosts.TwoHosts(directory))


main(test)
