"""Every page that Baleen writes, opened in a headless Chromium on a telephone, a laptop and a wide screen, light and dark.

usage: pages.py EXAMPLE_PAGES [--keep DIR] [--pages FILE...]

EXAMPLE_PAGES is the program that writes pages from made-up data; beside them, pages of a finished run, of its stack, and of a
failed run are opened. Fails where a page has a script error, asks the network
for anything, is wider than the screen, has texts that lie over each other or contrast less than WCAG's AA asks, cannot be
used by keyboard in reading order, has pictures that are not lazy or don't decode, or charts that say nothing when pointed at.
--keep writes pictures and PDFs for people; --pages looks at other files.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

import browser

AUDIT = (pathlib.Path(__file__).parent / "page_audit.js").read_text()
WIDTHS = (390, 1280, 2560)
TAB = 9
MOST_BYTES = 5 << 20


def quiet(events, page):
    """Faults that the browser has told of: errors, refused and made requests."""
    faults = []
    for name, event in events:
        if name == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            faults.append("script error: " + details.get("exception", {}).get("description", details["text"])[:300])
        elif name == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning", "assert"):
            faults.append("console: " + " ".join(str(a.get("value", a.get("description"))) for a in event["args"]))
        elif name == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning"):
            faults.append(f"log: {event['entry']['text']}")
        elif name == "Network.requestWillBeSent":
            url = event["request"]["url"]
            if url != page.resolve().as_uri() and not url.startswith("data:"):
                faults.append(f"request: {url[:100]}")
    return faults


def keyboard(tab):
    """Tabs through the page: each stop in the document's order, in view, and with a visible ring."""
    count = tab.evaluate("scrollTo(0, 0), document.activeElement?.blur?.(), audit.expectStops()")
    faults, places = [], []
    for _ in range(count + 3):
        if len(places) == count:  # behind the last one some pages begin again at once
            break
        tab.press("Tab", TAB)
        stop = tab.evaluate("audit.stop()")
        if stop is None:
            break
        if stop["place"] < 0:  # the browser lets readers scroll what overflows: fine
            continue
        places.append(stop["place"])
        if not stop["ring"]:
            faults.append(f"no ring around {stop['name']}")
        if not stop["inside"]:
            faults.append(f"out of view: {stop['name']}")
    if places != sorted(places):
        faults.append(f"stops are not in reading order: {places}")
    for missing in sorted(set(range(count)) - set(places)):
        faults.append("never reached by Tab: " + tab.evaluate(f"audit.nameOf({missing})"))
    return faults


def charts(tab):
    """Each chart answers the pointer with numbers."""
    faults = []
    for index in range(tab.evaluate("document.querySelectorAll('canvas[data-model]').length")):
        box = tab.evaluate(
            "(() => { const c = document.querySelectorAll('canvas[data-model]')[%d]; c.scrollIntoView({block: 'center'});"
            " const b = c.getBoundingClientRect(); return [b.left + b.width * .6, b.top + b.height / 2, b.width, b.height]; })()"
            % index)
        if box[2] < 100 or box[3] < 100:
            faults.append(f"chart {index} is {box[2]:.0f} x {box[3]:.0f} px")
        tab.hover(box[0], box[1])
        tab.settle()
        lines = tab.evaluate(f"Chart.getChart(document.querySelectorAll('canvas[data-model]')[{index}]).tooltip?.body?.length ?? 0")
        if not lines:
            faults.append(f"chart {index} says nothing when pointed at")
    return faults


def paper_charts(tab):
    """Charts of a dark screen are drawn anew for white paper, and again for the screen."""
    colour = "(() => { const c = document.querySelector('canvas[data-model]'); return c ? Chart.getChart(c).options.scales.x.ticks.color : ''; })()"
    screen = tab.evaluate(colour)
    if not screen:
        return []
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    paper = tab.evaluate(colour)
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    dark = sum(int(paper[i:i + 2], 16) for i in (1, 3, 5)) < 3 * 130
    return [] if dark and tab.evaluate(colour) == screen else [f"charts for paper are drawn in {paper}, on the screen in {screen}"]


def examine(tab, page, keep):
    faults = []

    def note(where, found):
        faults.extend(f"{page.name}, {where}: {fault}" for fault in found)

    if page.stat().st_size > MOST_BYTES:
        note("size", [f"{page.stat().st_size / 1e6:.1f} MB"])
    tab.show(1280)
    tab.open(page)
    tab.evaluate(AUDIT)
    note("structure", tab.evaluate("audit.structure()"))
    note("images", tab.evaluate("audit.images()"))
    note("charts", charts(tab))
    note("keyboard", keyboard(tab))
    tab.hover(0, 0)
    for dark in (False, True):
        # Layout does not depend on colours: in the dark one width will do.
        for width in WIDTHS if keep or not dark else WIDTHS[1:2]:
            tab.show(width, dark=dark)
            tab.evaluate("scrollTo(0, 0)")
            tab.settle()
            where = f"{width} px {'dark' if dark else 'light'}"
            if not dark:
                note(where, tab.evaluate("audit.overflow()"))
                note(where, tab.evaluate("audit.overlap()"))
            note(where, tab.evaluate("audit.contrast()"))
            if keep:
                tab.picture(keep / f"{page.stem}-{width}-{'dark' if dark else 'light'}.png")
    note("print", paper_charts(tab))
    tab.show(718, dark=True, media="print")  # A4 less its margins; a dark screen must not blacken paper
    tab.settle()
    note("print", tab.evaluate("audit.contrast()"))
    if tab.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)":
        note("print", ["the paper is not white"])
    if keep:
        tab.pdf(keep / f"{page.stem}.pdf")
    note("browser", quiet(tab.take_events(), page))
    return faults


def pages_of_runs(folder):
    """Reports of a run that ended well and of one whose chains failed at a damaged shard, and the page of a stack."""
    from harness import call, expect, make_dataset, write_recipe

    make_dataset(folder, samples=120)
    make_dataset(folder, "test", samples=40, seed=1)
    stages = [{"size_px": 16, "epochs": 3, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.02}}]
    call(["run", write_recipe(folder, stages=stages), "--run-dir", "finished"], folder)
    call(["stack", "finished", "--out", "stacked"], folder)
    shard = sorted((folder / "data").glob("*.h5"))[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1  # among the pixels, which fill most of the file
    shard.write_bytes(content)
    recipe = write_recipe(folder, stages=stages, backbones=[{"name": "conv4", "min_ranks": 2}])
    call(["run", recipe, "--run-dir", "failed"], folder, ranks=2, code=4)
    call(["report", "failed"], folder)
    pages = {"finished": ("finished/report.html", ["complete</span>", 'id="second-stage"', 'id="explanations"']),
             "failed": ("failed/report.html", ["failed</span>", "Failures", shard.name]),
             "stacked": ("stacked/stack.html", ['id="second-stage"', "ridge level 1"])}
    for name, (file, parts) in pages.items():
        page = (folder / file).read_text()
        for part in parts:
            expect(part in page, f"the page of the run '{name}' lacks {part}")
        (folder / f"run-{name}.html").write_text(page)
    return [folder / f"run-{name}.html" for name in pages]


def blind_spots(tab):
    """Kinds of faults that bad_page.html has and that are not found in it: a test that sees nothing is no test."""
    found = "\n".join(examine(tab, pathlib.Path(__file__).parent / "bad_page.html", None))
    expected = ["no language", "skips a level", "leads nowhere", "is not lazy", "without a text", "not by keyboard", "is empty",
                "no ring", "not in reading order", "px wide on", "reaches from", "is cut off", "lies over", "contrast 2.85",
                "paper is not white", "console: oops", "request: http", "script error"]
    return [f"bad_page.html: nobody noticed '{kind}'" for kind in expected if kind not in found]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("example_pages")
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--pages", type=pathlib.Path, nargs="*")
    arguments = parser.parse_args()
    if not browser.find():
        print("SKIPPED: there is no Chromium (launch/install.sh tests installs it unless BALEEN_BROWSER=0)")
        return 77
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="baleen-pages-") as folder:
        pages = arguments.pages
        if not pages:
            subprocess.run([arguments.example_pages, folder], check=True)
            pages = sorted(pathlib.Path(folder).glob("*.html")) + pages_of_runs(pathlib.Path(folder))
        with browser.Browser() as tab:
            faults = blind_spots(tab)
            for page in pages:
                began = time.monotonic()
                found = examine(tab, page, arguments.keep)
                print(f"{page.name}: {len(found)} faults, {time.monotonic() - began:.1f} s", flush=True)
                faults += found
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
