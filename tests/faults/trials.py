"""What the campaigns share: recipes whose phases last, ways to wait for a phase, and what a run is compared by."""

import csv
import hashlib
import json
import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "end_to_end"))

from harness import BALEEN, Failure, Job, call, environment, expect, journal, no_process_left  # noqa: E402

BUILD = pathlib.Path(BALEEN).resolve().parents[1]
FAULTY = BUILD / "tests/faults/libbaleen_faulty_network.so"
FILE_FAULTS = BUILD / "tests/faults/libbaleen_file_faults.so"


def status_of(run):
    """status.json as a dictionary; empty before there is one."""
    try:
        return json.loads((run / "status.json").read_text())
    except (OSError, ValueError):
        return {}


def phases_of(run, since):
    """The phases that a start which began after `since` is in."""
    status = status_of(run)
    if status.get("started_s", 0) < since:
        return set()
    return {chain.get("phase") or "start" for chain in status.get("in_work", [])} | {status.get("phase", "")}


def wait_for_phase(run, job, phase, since, seconds=60):
    """Returns whether the job came to the phase before it ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and job.process.poll() is None:
        if phase in phases_of(run, since):
            return True
        time.sleep(0.003)
    expect(job.process.poll() is not None, f"the job did not come to '{phase}' within {seconds} s\n{job.output()}")
    return False


def records(run):
    """The journal; a torn last line, right after a kill, is left out."""
    if not (run / "journal.jsonl").exists():
        return []
    found = []
    for line in (run / "journal.jsonl").read_text(errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def finished_chains(run):
    return [r["chain"] for r in records(run) if r["type"] == "chain_finished"]


def complete(run):
    starts = [r for r in records(run) if r["type"] in ("run_started", "run_finished")]
    return bool(starts) and starts[-1].get("exit_code") == 0


def outcome(run):
    """All that a run is for, without times and places: digests of files, and every figure of metrics.csv."""
    files = [run / "stack/scores.json", *sorted(run.glob("oof.h5")), *sorted(run.glob("*.csv")),
             *sorted(run.glob("chains/*/weights.safetensors")), *sorted(run.glob("chains/*/oof.h5")),
             *sorted(run.glob("masks-*/*"))]
    result = {str(f.relative_to(run)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.name != "metrics.csv"}
    expect(len(result) > 3, f"{run} holds no results")
    with open(run / "metrics.csv", newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in ("samples_per_s", "seconds", "time_s", "time", "run")}
                for row in csv.DictReader(file)]
    result["metrics.csv"] = json.dumps(rows, sort_keys=True)
    return result


def expect_same(run, reference, what):
    here = outcome(run)
    expect(here.keys() == reference.keys(), f"{what}: {sorted(here)} instead of {sorted(reference)}")
    different = [name for name in reference if here[name] != reference[name]]
    if different == ["metrics.csv"]:
        pairs = zip(json.loads(here["metrics.csv"]), json.loads(reference["metrics.csv"]))
        raise Failure(f"{what}: other metrics: {next(((a, b) for a, b in pairs if a != b), 'rows are missing')}")
    expect(not different, f"{what}: other bytes in {different}")


def expect_no_repetition(run):
    """No chain is handed out again once it is finished."""
    seen = set()
    for record in records(run):
        if record["type"] == "chain_finished":
            expect(record["chain"] not in seen, f"{record['chain']} was finished twice")
            seen.add(record["chain"])
        expect(not (record["type"] == "chain_assigned" and record["chain"] in seen),
               f"{record.get('chain')} was trained again after it had finished")


def work_lost_s(run, now):
    """Longest time since something of a chain in work was made safe, as of `now` (seconds since 1970)."""
    lost = 0.0
    for chain in status_of(run).get("in_work", []):
        safe = [f.stat().st_mtime for f in (run / "chains" / chain["name"]).glob("checkpoint-*.json")]
        lost = max(lost, now - max([chain["assigned_s"], *safe]))
    return lost


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class FaultyJob(Job):
    """A run with more in its environment."""

    def __init__(self, arguments, directory, ranks, **variables):
        kept = {key: os.environ.get(key) for key in variables}
        os.environ.update(variables)
        try:
            super().__init__(arguments, directory, ranks)
        finally:
            for key, value in kept.items():
                if value is None:
                    del os.environ[key]
                else:
                    os.environ[key] = value


class Campaign:
    """Trials by number, each drawn from (seed, name, number) alone, so that any of them can be run again by itself."""

    def __init__(self, name, options):
        self.name = name
        self.options = options
        self.figures = {}

    def random(self, trial):
        return random.Random(f"{self.options.seed}/{self.name}/{trial}")

    def note(self, figure, value):
        """Remembers the worst of a figure."""
        self.figures[figure] = max(value, self.figures.get(figure, value))

    def within(self, figure, value, limit):
        """A limit in seconds, stretched where the machine is shared."""
        self.note(figure, value)
        expect(value <= limit * self.options.slack, f"{figure}: {value:.2f} s, at most {limit} s are allowed")

    def run(self, trials, body):
        """Calls body(trial) for each, or for --trial alone; tells how to replay what fails."""
        numbers = [self.options.trial] if self.options.trial is not None else trials
        failed = []
        for done, trial in enumerate(numbers, 1):
            try:
                text = body(trial)
                print(f"{self.name} {trial} ({done} of {len(numbers)}): {text}", flush=True)
            except Failure as failure:
                failed.append(trial)
                print(f"FAILED {self.name} {trial}: {failure}\n  replay: tests/faults/campaign {self.name} --seed "
                      f"{self.options.seed} --trial {trial}", file=sys.stderr, flush=True)
        figures = ", ".join(f"{k} {v:.2f}" for k, v in sorted(self.figures.items()))
        print(f"{self.name}: {len(numbers) - len(failed)} of {len(numbers)} passed; worst: {figures or '-'}", flush=True)
        expect(not failed, f"{len(failed)} of {len(numbers)} {self.name} failed: {failed}")


__all__ = ["BUILD", "FAULTY", "FILE_FAULTS", "Campaign", "Failure", "FaultyJob", "Job", "call", "complete", "environment",
           "expect", "expect_no_repetition", "expect_same", "finished_chains", "journal", "no_process_left", "outcome",
           "phases_of", "records", "send", "signal", "status_of", "wait_for_phase", "work_lost_s"]
