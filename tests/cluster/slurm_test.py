"""On a real Slurm of one node: srun with PMIx, the batch script of `baleen launch`, preemption and requeue, the same bytes.

Usage: slurm_test.py CASE
"""

import os
import re
import sys
import time

import isolation
import slurm

isolation.enter(slurm.PROGRAMS, host=slurm.HOST)

from runs import commands_in, environment, expect_reference, harness, has_checkpoint, launch_events, main, prepare, run, shell  # noqa: E402

GUIDE = "cluster.md"


def srun(directory, reference, _):
    [doctor] = commands_in(GUIDE, "doctor")
    text = shell(doctor, directory)
    for words in ("2 on 1 host", "every rank has the same", "from rank 0 to 1 others", "one at a time can lock it", "Nothing has to be mended"):
        harness.expect(words in text, f"the doctor does not say '{words}':\n{text}")
    [plan] = commands_in(GUIDE, "plan")
    harness.expect("8 ranks" in shell(plan, directory), "the plan does not count 8 ranks")
    [line] = commands_in(GUIDE, "srun")
    without = shell(line.replace(" --mpi=pmix", ""), directory, code=None, timeout=60)
    harness.expect("srun --mpi=pmix" in without and not (directory / "runs").exists(), f"srun without PMIx was not refused:\n{without}")
    # Slurm 22.05 fails to start a step while the last one is being cleaned up, and srun then ends with 0.
    slurm.wait_until(lambda: not run("squeue", "-h").strip(), 30, "the queue did not become empty")
    shell(line, directory)
    expect_reference(directory, reference, "with srun")


def submit(directory, extra="", notice_s=120):
    fill_in, sbatch = commands_in(GUIDE, "sbatch")
    shell(fill_in.replace(" --sbatch", f" --sbatch {extra}"), directory)
    script = (directory / "planet.sbatch").read_text()
    for words in ("--ntasks=2", "--requeue", f"--signal=B:USR1@{notice_s}\n", "--time=12:00:00"):
        harness.expect(words in script, f"the batch script lacks {words}:\n{script}")
    # The test's Slurm allows an hour; everything else is as the guide has it.
    (directory / "planet.sbatch").write_text(script.replace("--time=12:00:00", "--time=10"))
    return re.search(r"\d+", shell(sbatch, directory)).group()


def preempt(directory, reference, cluster, extra=""):
    job = submit(directory, extra)
    log = directory / f"planet-{job}.log"
    printed = lambda: f"{log.read_text(errors='replace') if log.exists() else 'no log'}\n{cluster.logs()}"  # noqa: E731
    slurm.wait_until(lambda: has_checkpoint(directory), 60, "the job saved no checkpoint", printed)
    queue, status = commands_in(GUIDE, "watch")
    harness.expect(job in shell(queue, directory), "the job is not in the queue")
    harness.expect("planet" in shell(status, directory), "nothing is known of the run")
    urgent = shell("sbatch --parsable --partition=high --ntasks=2 --time=1 --output=urgent.log --wrap='sleep 1'", directory).strip()
    cluster.wait_for(urgent, ("COMPLETED",), 60)
    state, restarts, code = cluster.wait_for(job, ("COMPLETED", "FAILED"), 120)
    text = printed()
    harness.expect(state == "COMPLETED" and code == "0:0", f"the job is {state} with {code}\n{text}")
    harness.expect(restarts >= 1, f"the job was not requeued\n{text}")
    harness.expect("exit code 75" in text, f"the ranks did not leave in good order\n{text}")
    expect_reference(directory, reference, f"after {restarts} requeues")


def requeue(directory, reference, cluster):
    preempt(directory, reference, cluster)


def with_mpirun(directory, reference, cluster):
    """The supervisor inside of the allocation: a killed rank is no reason to go through the queue, preemption is."""
    preempt(directory, reference, cluster, extra="--with-mpirun")
    events = [event["event"] for event in launch_events(directory)]
    harness.expect(events.count("started") >= 2 and "signal" in events, f"what the supervisor did: {events}")


def time_limit(directory, reference, cluster):
    """The announcement of the end comes to the script alone, which hands it on."""
    job = submit(directory, "--notice 30", notice_s=30)
    slurm.wait_until(lambda: has_checkpoint(directory), 60, "the job saved no checkpoint", cluster.logs)
    run("scancel", "--batch", "--signal=USR1", job)  # what Slurm does 30 s before the limit
    slurm.wait_until(lambda: cluster.state(job)[1] >= 1, 40, "the job was not requeued", cluster.logs)
    state, restarts, _ = cluster.wait_for(job, ("COMPLETED", "FAILED"), 120)
    harness.expect(state == "COMPLETED" and restarts == 1, f"{state} after {restarts} requeues\n{cluster.logs()}")
    expect_reference(directory, reference, "after the announcement of the end")


def mistake(directory, _, cluster):
    """What would come again is not requeued."""
    job = submit(directory)
    recipe = directory / "planet.yaml"
    recipe.write_text(recipe.read_text().replace('"simplenet_cifar"', '"simplenet_cifra"'))
    state, restarts, code = cluster.wait_for(job, ("COMPLETED", "FAILED"), 60)
    if (state, code) == ("FAILED", "3:0"):
        harness.expect(restarts == 0, f"requeued {restarts} times")
        time.sleep(2)
        harness.expect(cluster.state(job)[0] == "FAILED", "the job came back")
        return
    raise AssertionError(f"{state} with {code}\n{cluster.logs()}")


CASES = {case.__name__: case for case in (srun, requeue, with_mpirun, time_limit, mistake)}


def test(directory):
    reference = prepare(directory)
    os.environ.update(environment())
    with slurm.Slurm(directory) as cluster:
        CASES[sys.argv[1]](directory, reference, cluster)


main(test)
