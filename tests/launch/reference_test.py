"""Man pages and completion that `baleen docs` makes: well-formed, complete, and of use to the shells that read them.

man pages are checked by mandoc and by man, completion by bash, fish and zsh: those that are installed; bash always is.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BALEEN = os.environ["BALEEN_BIN"]
SOURCE = pathlib.Path(os.environ["BALEEN_SOURCE"])
DRIVER = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
[[ $(complete -p baleen) == *"-F _baleen baleen" ]] || exit 9
_baleen baleen "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def expect(condition, message):
    if not condition:
        raise AssertionError(message)


def baleen(*words, code=0, **options):
    done = subprocess.run([BALEEN, *words], capture_output=True, text=True, **options)
    expect(done.returncode == code, f"baleen {' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def verbs_and_options():
    """What --help says: verb to its long options."""
    listed = baleen("--help").split("Subcommands:")[1].split("\n\n")[0]
    names = re.findall(r"^  (\w+) ", listed, re.M)
    expect(len(names) > 12, f"only {names}")
    return {name: options_in(baleen(name, "--help").split("Examples:")[0]) for name in names}


def options_in(text):
    """Long options that begin a line: `  -o,--sheet FILE`."""
    words = [word for names in re.findall(r"^  (-\S+)", text, re.M) for word in names.split(",")]
    return {word for word in words if word.startswith("--")}


def shown(page):
    """A page as a reader sees it: roff's own escapes are gone."""
    return re.sub(r"\\f[BIR]", "", page.read_text()).replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\")


def check_manual(folder, known):
    baleen("docs", "man", "--out", folder / "man1", env=dict(os.environ, SOURCE_DATE_EPOCH="86400"))
    pages = sorted((folder / "man1").iterdir())
    expect({page.name for page in pages} == {"baleen.1", *(f"baleen-{verb}.1" for verb in known)}, f"{pages}")
    program = shown(folder / "man1/baleen.1")
    expect(".TH BALEEN 1 1970-01-02" in program, "the page has another date than SOURCE_DATE_EPOCH")
    for verb, options in known.items():
        text = shown(folder / f"man1/baleen-{verb}.1")
        expect(f"baleen-{verb}(1)" in program, f"baleen(1) does not name {verb}")
        for option in options:
            expect(re.search(rf"{option}(?![\w-])", text), f"baleen-{verb}(1) lacks {option}")
        for part in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"):
            expect(f"\n.SH {part}\n" in text, f"baleen-{verb}(1) lacks the part {part}")
    # The table for people and the pages agree.
    codes = set(re.findall(r"^\| (\d+) \| (\w+) \|", (SOURCE / "docs/exit-codes.md").read_text(), re.M))
    expect(set(re.findall(r"^(\d+) \((\w+)\)$", program, re.M)) == codes, f"docs/exit-codes.md has {sorted(codes)}")
    if shutil.which("mandoc"):
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True, text=True)
        expect(done.returncode == 0 and not done.stdout, f"mandoc: {done.stdout}{done.stderr}")
    if shutil.which("man") and shutil.which("groff"):
        for page in pages:
            done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", page], capture_output=True, text=True,
                                  env=dict(os.environ, LC_ALL="C.UTF-8", MANROFFSEQ="", MANPAGER="cat"))
            text = re.sub(".\b", "", done.stdout)  # bold is struck twice
            expect(done.returncode == 0 and not done.stderr and "NAME" in text, f"man {page.name}: {done.stderr}")
    checked = [program for program in ("mandoc", "man") if shutil.which(program)]
    print(f"{len(pages)} man pages, checked by {', '.join(checked) or 'nobody: neither mandoc nor man is here'}")


def check_bash(folder, known):
    script = folder / "baleen.bash"
    script.write_text(baleen("docs", "completion", "bash"))
    for name in ("a.yaml", "b.yml", "notes.txt", "my photos.yaml"):
        (folder / name).touch()
    (folder / "runs").mkdir()

    def complete(*words):
        done = subprocess.run(["bash", "--norc", "-c", DRIVER, "driver", script, *words], cwd=folder, capture_output=True, text=True)
        expect(done.returncode == 0 and not done.stderr, f"bash: {done.returncode} {done.stderr}")
        return set(done.stdout.splitlines())

    expect(complete("baleen", "") == set(known), f"verbs: {complete('baleen', '')}")
    expect(complete("baleen", "rep") == {"report"}, "rep")
    expect({"--log-level", "--help", "--version"} <= complete("baleen", "--"), "the program's own options")
    for verb, options in known.items():
        offered = complete("baleen", verb, "--")
        expect(options <= offered, f"{verb}: {options - offered} are not offered")
    expect(complete("baleen", "run", "--res") == {"--resume"}, "--res")
    expect({"auto", "never", "must", "runs"} <= complete("baleen", "run", "a.yaml", "--resume", ""), "--resume")
    expect(complete("baleen", "run", "--resume", "=", "mu") == {"must"}, "--resume=mu")
    expect(complete("baleen", "run", "--resume", "=") >= {"auto", "must"}, "--resume=")
    expect(complete("baleen", "run", "") == {"a.yaml", "b.yml", "my photos.yaml", "runs"}, f"{complete('baleen', 'run', '')}")
    expect(complete("baleen", "--log-level", "debug", "run", "a") == {"a.yaml"}, "behind the program's option")
    expect(complete("baleen", "run", "--log-level", "w") == {"warning"}, "--log-level behind a verb")
    expect(complete("baleen", "stack", "--out", "") == {"runs"}, "folders")
    expect(complete("baleen", "stack", "--as", "") == {"auto", "probabilities", "tags", "lists", "scores"}, "--as")
    expect("notes.txt" in complete("baleen", "verify", ""), "any file")
    expect(complete("baleen", "plan", "--ranks", "") == {""}, "nothing can be said of a number")
    expect(complete("baleen", "docs", "comp") == {"completion"}, "pages of docs")
    expect(complete("baleen", "launch", "-n", "2", "--sb") == {"--sbatch", "--sbatch-options"}, "options of launch")
    print("bash completes")


def check_fish(folder, known):
    script = folder / "baleen.fish"
    script.write_text(baleen("docs", "completion", "fish"))
    if not shutil.which("fish"):
        print("fish is not here: its script was made, not read")
        return

    def complete(line):
        done = subprocess.run(["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"], cwd=folder, capture_output=True,
                              text=True)
        expect(done.returncode == 0 and not done.stderr, f"fish: {done.stderr}")
        return {entry.split("\t")[0] for entry in done.stdout.splitlines()}

    expect(complete("baleen ") == set(known), f"verbs: {complete('baleen ')}")
    for verb, options in known.items():
        offered = complete(f"baleen {verb} --")
        expect(options <= offered, f"fish, {verb}: {options - offered} are not offered")
    expect({"auto", "must"} <= complete("baleen run --resume "), "--resume")
    expect("a.yaml" in complete("baleen run "), f"{complete('baleen run ')}")
    expect(complete("baleen docs completion ") >= {"bash", "zsh", "fish"}, f"{complete('baleen docs completion ')}")
    print("fish completes")


ZSH = r"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "cd $1; PS1=; fpath=($2 \$fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=0; setopt no_beep"
zpty -w z "bindkey '^I' complete-word; zstyle ':completion:*' list-colors ''; echo re''ady"
zpty -r z text '*ready*'
zpty -n -w z "$3"$'\t'
sleep 1.5
while zpty -r -t z text; do print -rn -- "$text"; done
zpty -d z
"""


def check_zsh(folder, known):
    site = folder / "zsh"
    site.mkdir()
    (site / "_baleen").write_text(baleen("docs", "completion", "zsh"))
    if not shutil.which("zsh"):
        print("zsh is not here: its script was made, not read")
        return
    done = subprocess.run(["zsh", "-n", site / "_baleen"], capture_output=True, text=True)
    expect(done.returncode == 0 and not done.stderr, f"zsh -n: {done.stderr}")

    def complete(line):
        done = subprocess.run(["zsh", "-f", "-c", ZSH, "zsh", folder, site, line], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    listed = complete("baleen ")
    expect(all(verb in listed for verb in known), f"zsh, verbs: {listed}")
    listed = complete("baleen run --")
    expect(all(option in listed for option in known["run"]), f"zsh, options of run: {listed}")
    listed = complete("baleen stack --as ")
    expect("probabilities" in listed and "lists" in listed, f"zsh, --as: {listed}")
    listed = complete("baleen plan ")
    expect("a.yaml" in listed and "notes.txt" not in listed, f"zsh, recipes: {listed}")
    print("zsh completes")


def main():
    known = verbs_and_options()
    with tempfile.TemporaryDirectory(prefix="baleen-reference-") as name:
        folder = pathlib.Path(name)
        check_manual(folder, known)
        for check in (check_bash, check_fish, check_zsh):
            shop = folder / check.__name__
            shop.mkdir()
            for file in ("a.yaml", "notes.txt"):
                (shop / file).touch()
            check(shop, known)
        expect("which shell" in baleen("docs", "completion", code=2), "a shell is not asked for")
        expect("no completion for tcsh" in baleen("docs", "completion", "tcsh", code=2), "tcsh")
        expect("unexpected argument" in baleen("docs", "man", "bash", code=2), "man bash")
    print("passed")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        sys.exit(1)
