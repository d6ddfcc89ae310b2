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

from harness import BALEEN, Failure, Job, call, environment, expect, is_ours, journal, no_process_left  # noqa: E402

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


def wait_for_phase(run, job, phase, since, seconds=180):
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


def figures_of(table):
    """Rows of a CSV file without what depends on clocks and places."""
    with open(table, newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in ("samples_per_s", "seconds", "rank_seconds", "time_s", "time", "run")}
                for row in csv.DictReader(file)]
    return json.dumps(rows, sort_keys=True)


def outcome(run):
    """All that a run, or each trial of a sweep, is for: digests of files, and every figure of its tables."""
    result = {}
    for root in [run, *sorted(run.glob("trials/*/"))]:
        files = [*root.glob("stack/scores.json"), *root.glob("oof.h5"), *root.glob("best.yaml"), *sorted(root.glob("*.csv")),
                 *sorted(root.glob("chains/*/weights.safetensors")), *sorted(root.glob("chains/*/oof.h5")),
                 *sorted(root.glob("masks-*/*"))]
        for file in files:
            result[str(file.relative_to(run))] = (figures_of(file) if file.name in ("metrics.csv", "trials.csv")
                                                  else hashlib.sha256(file.read_bytes()).hexdigest())
    expect(len(result) > 4, f"{run} holds no results")
    return result


def expect_same(run, reference, what):
    here = outcome(run)
    expect(here.keys() == reference.keys(), f"{what}: {sorted(here)} instead of {sorted(reference)}")
    different = [name for name in reference if here[name] != reference[name]]
    for table in different:
        if table.endswith(("metrics.csv", "trials.csv")):
            pairs = zip(json.loads(here[table]), json.loads(reference[table]))
            raise Failure(f"{what}: other bytes in {different}; {table}: "
                          f"{next(((a, b) for a, b in pairs if a != b), 'rows are missing')}")
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
        trial, _, name = chain["name"].rpartition("/")
        directory = (run / "trials" / trial if trial else run) / "chains" / name
        safe = [f.stat().st_mtime for f in directory.glob("checkpoint-*.json")]
        lost = max(lost, now - max([chain["assigned_s"], *safe]))
    return lost


def wait_for_start(run, job, since, seconds=180):
    """Returns whether a start of the job that began after `since` came to hand out chains, before it ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and job.process.poll() is None:
        if any(r["type"] == "run_started" and r["time"] >= since for r in records(run)):
            return True
        time.sleep(0.003)
    return False


class OtherLoad:
    """Which share of the processors others than a job's processes took, while this is looked at now and then."""

    def __init__(self, pids):
        self.pids = list(pids)
        self.own = {}
        self.begin = self._machine()
        self.look()
        self.own_begin = sum(self.own.values())

    @staticmethod
    def _machine():
        """(busy, all) ticks of all processors since the machine started."""
        ticks = list(map(int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)

    def look(self):
        for pid in self.pids:
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                self.own[pid] = int(fields[11]) + int(fields[12])
            except OSError:
                pass  # it has ended: what was seen last counts

    def share(self):
        busy, ticks = (now - then for now, then in zip(self._machine(), self.begin))
        if ticks <= 0:
            return 0.0
        return min(0.9, max(0.0, (busy - sum(self.own.values()) + self.own_begin) / ticks))


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
        expect(value <= limit * self.options.slack, f"{figure}: {value:.2f} s, at most {limit:.2f} s are allowed")

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
           "expect", "expect_no_repetition", "expect_same", "finished_chains", "is_ours", "journal", "no_process_left", "outcome",
           "phases_of", "records", "send", "signal", "status_of", "wait_for_phase", "wait_for_start", "work_lost_s",
           "OtherLoad"]
