"""The walk-through of docs/extending.md: an installed Baleen, a project in a folder of its own, a k-fold job with its network,
loss and augmentation, killed and resumed; as a plug-in and linked in, with the same bytes."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import harness
from harness import Job, call, environment, expect, expect_same_results, main, make_dataset, no_process_left, result_digests

BUILD = pathlib.Path(harness.BALEEN).parents[1]
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
PLUGIN = "build/libextension.so"


def shell(*line, directory=None):
    done = subprocess.run([str(word) for word in line], cwd=directory, env=environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    expect(done.returncode == 0, f"{' '.join(map(str, line))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def says(text, *words):
    missing = [word for word in words if word not in text]
    expect(not missing, f"the output lacks {missing}:\n{text}")


def build(directory, prefix):
    project = directory / "project"
    shutil.copytree(prefix / "share/baleen/examples/extension", project)
    lines = sum(len(file.read_text().splitlines()) for file in project.iterdir())
    expect(lines < 150, f"the example has {lines} lines")
    start = time.monotonic()
    shell("cmake", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    shell("cmake", "--build", project / "build")
    print(f"{lines} lines, configured and built in {time.monotonic() - start:.0f} s", flush=True)
    return project


def plugins_need_no_c_compiler_and_no_library_but_libtorch(directory, prefix):
    alone = directory / "alone"
    alone.mkdir()
    (alone / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(Alone LANGUAGES CXX)\n"
        "find_package(Baleen 0.1 REQUIRED COMPONENTS plugin)\nbaleen_add_plugin(alone alone.cpp)\n")
    (alone / "alone.cpp").write_text("")
    shell("cmake", "-S", alone, "-B", alone / "build", f"-DCMAKE_PREFIX_PATH={prefix}")


def pack(project):
    if FASHION.exists():
        call(["pack", "images.yaml"], project)
        return
    make_dataset(project, "images", samples=900, classes=10, size=30)
    make_dataset(project, "images-test", samples=300, classes=10, size=30, seed=1)


def mistakes_are_named(project):
    recipe = project / "wrong.yaml"
    recipe.write_text((project / "recipe.yaml").read_text().replace("kind: focal", "kind: focall")
                      .replace("tiny_net", "tinynet").replace("name: cutout", "name: cutoff"))
    text = call(["plan", recipe], project, code=3)
    says(text, "3 problems", "wrong.yaml:7:", "tiny_net", "wrong.yaml:13:", "cutout", "wrong.yaml:14:", "focal")
    text = call(["plan", "recipe.yaml", "--set", "loss.parameters.gama=1"], project, code=3)
    says(text, "has no parameter 'gama'", "did you mean 'gamma'?")
    text = call(["plan", "recipe.yaml", "--set", "stages.0.augment.custom.0.parameters.part=2"], project, code=3)
    says(text, "part is not between 0 and 1")

    text = call(["models", "--plugin", "build/libother.so"], project, code=3)
    says(text, "build/libother.so is not there")
    text = call(["models", "--plugin", "recipe.yaml"], project, code=3)
    says(text, "is no plug-in of Baleen", "BALEEN_PLUGIN")
    original = (project / PLUGIN).read_bytes()
    other = project / "libother.so"
    ours = b"<baleen-plugin-1>Baleen 0."
    expect(original.count(ours) == 1, "the plug-in carries no stamp")
    other.write_bytes(original.replace(ours, b"<baleen-plugin-1>Baleen 9."))
    text = call(["models", "--plugin", other], project, code=3)
    says(text, "was built for Baleen 9.", "this program is Baleen 0.", "LibTorch")
    other.write_bytes(original[:-1000])  # a copy that broke off
    says(call(["models", "--plugin", other], project, code=3), "libother.so is cut short or damaged")
    other.write_bytes(original)
    text = call(["models", "--plugin", PLUGIN, "--plugin", other], project, code=3)
    says(text, "libother.so failed", "'tiny_net' is registered twice")


def kill_midway(project):
    job = Job(["run", "recipe.yaml"], project, ranks=2)
    deadline = time.monotonic() + 120
    while not any((project / "runs/extension").glob("chains/*/metrics.jsonl")):
        expect(job.process.poll() is None, f"the run ended early\n{job.output()}")
        expect(time.monotonic() < deadline, f"no training within 120 s\n{job.output()}")
        time.sleep(0.02)
    victims = list(job.ranks().values())
    job.kill_all()
    no_process_left(victims)
    ended = (project / "runs/extension/journal.jsonl").read_text()
    expect("run_finished" not in ended, "the run was over before it was killed")


def test(directory):
    prefix = directory / "prefix"
    shell("cmake", "--install", BUILD, "--prefix", prefix)
    plugins_need_no_c_compiler_and_no_library_but_libtorch(directory, prefix)
    project = build(directory, prefix)
    harness.BALEEN = str(prefix / "bin/baleen")
    says(call(["models", "--plugin", PLUGIN], project), "tiny_net", "resnet18", "focal", "gamma 2", "cutout", "part 0.25")
    pack(project)
    mistakes_are_named(project)
    says(call(["plan", "recipe.yaml", "--ranks", "2"], project), "tiny_net", "resnet18")

    kill_midway(project)
    with open(project / PLUGIN, "ab") as library:
        library.write(b"\0")  # the same code, another file
    text = call(["run", "recipe.yaml", "--resume", "must"], project, ranks=2)
    says(text, "the plug-ins were", "results may differ", "tiny_net", "resnet18", "stack")
    run = project / "runs/extension"
    starts = json.loads((run / "env.json").read_text())["starts"]
    expect(len(starts) == 2 and starts[0]["plugins"][PLUGIN] != starts[1]["plugins"][PLUGIN], f"env.json says {starts}")
    scores = {c["name"]: c["oof_score"] for c in json.loads((run / "stack/scores.json").read_text())["candidates"]}
    print(scores, flush=True)
    expect({"tiny_net", "resnet18", "stack"} <= scores.keys(), f"scores of {sorted(scores)}")
    expect(scores["tiny_net"] > 0.3 and scores["stack"] > 0.5, "little was learnt: chance is 0.1")

    shutil.copy(run / "report.html", directory / "report.html")
    (project / PLUGIN).rename(project / "build/gone.so")
    call(["report", run], project)  # a finished run can be looked at without its plug-in
    (project / "build/gone.so").rename(project / PLUGIN)

    harness.BALEEN = str(project / "build/my_baleen")
    says(call(["models"], project), "tiny_net", "focal", "cutout")
    says(call(["models", "--plugin", PLUGIN], project, code=3), "'tiny_net' is registered twice")
    call(["run", "recipe.yaml", "--set", "plugins=[]", "--run-dir", "linked"], project, ranks=1)
    expect_same_results(project / "linked", result_digests(run), "linked in, on one rank, never killed")


os.environ.pop("LIBTORCH_ROOT", None)  # the package knows where LibTorch was
main(test)
