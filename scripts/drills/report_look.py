"""Opens a report in headless Chromium, uses it as a reader does, and says what is wrong with it.

    report_look.py PAGE FOLDER [PARTS]

Speaks the DevTools protocol over a pipe, with nothing but the standard library. Screenshots (light, dark, 400 pixels
wide; PARTS of 3,000 pixels each from the top, or 2) and a PDF go into FOLDER. One line for each problem on stdout; ends with 0 if there is none.
"""

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import time

SECONDS_MAX = 240
WIDE, NARROW = 1280, 400
PART_HEIGHT = 3000
PARTS = int(sys.argv[3]) if len(sys.argv) > 3 else 2


class Browser:
    """A Chromium of our own, by a pipe: it ends with us, and opens no port."""

    def __init__(self, program, profile):
        to_read, self.to_write = os.pipe()
        self.from_read, from_write = os.pipe()

        def pipes():  # DevTools reads from descriptor 3 and writes to 4.
            a, b = os.dup(to_read), os.dup(from_write)
            os.dup2(a, 3)
            os.dup2(b, 4)

        command = [program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        command += ["--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-extensions"]
        if os.geteuid() == 0:  # Its sandbox does not work for root.
            command.append("--no-sandbox")
        self.log = open(os.path.join(profile, "log"), "wb")
        self.process = subprocess.Popen(
            command, preexec_fn=pipes, pass_fds=(3, 4), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        os.close(to_read)
        os.close(from_write)
        self.rest, self.number, self.session, self.events = b"", 0, None, []
        self.deadline = time.monotonic() + SECONDS_MAX

    def message(self):
        while b"\0" not in self.rest:
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([self.from_read], [], [], left)[0]:
                raise SystemExit(f"problem: the browser did not answer within {SECONDS_MAX} s")
            some = os.read(self.from_read, 1 << 20)
            if not some:
                raise SystemExit(f"problem: the browser ended: {self.log.name}")
            self.rest += some
        one, self.rest = self.rest.split(b"\0", 1)
        return json.loads(one)

    def call(self, method, **params):
        self.number += 1
        asked = {"id": self.number, "method": method, "params": params}
        if self.session:
            asked["sessionId"] = self.session
        os.write(self.to_write, json.dumps(asked).encode() + b"\0")
        while True:
            said = self.message()
            if said.get("id") == self.number:
                if "error" in said:
                    raise SystemExit(f"problem: {method}: {said['error'].get('message')}")
                return said["result"]
            if "method" in said:
                self.events.append(said)

    def wait(self, name):
        while not any(e["method"] == name for e in self.events):
            said = self.message()
            if "method" in said:
                self.events.append(said)

    def run(self, script):
        told = self.call("Runtime.evaluate", expression=f"(() => {{{script}}})()", returnByValue=True)
        if "exceptionDetails" in told:
            raise SystemExit(f"problem: this check itself: {told['exceptionDetails']['exception'].get('description')}")
        return told["result"].get("value")

    def end(self):
        try:
            self.session = None
            self.call("Browser.close")
            self.process.wait(10)
        except (SystemExit, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


# Where something is, in the middle of what is seen of it.
PLACE = """
  const middle = (e) => { e.scrollIntoView({ block: "center" }); const b = e.getBoundingClientRect(); return { x: b.x + b.width / 2, y: b.y + b.height / 2 }; };
"""

PANELS = """
  return Array.from(document.querySelectorAll(".panels svg.chart"), (chart) => ({
    name: chart.closest("figure").querySelector("h3")?.textContent + " / " + chart.getAttribute("aria-label"),
    marks: chart.querySelectorAll(".h circle").length,
    drawn: chart.querySelectorAll("polyline, rect, polygon, path, circle").length,
    empty: chart.textContent.includes("no data"),
  }));
"""

# Words of a panel that lie on one another, or leave it.
WORDS = """
  const wrong = [];
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const chart of document.querySelectorAll(".panels svg.chart")) {
    const frame = chart.viewBox.baseVal;
    const words = Array.from(chart.querySelectorAll("text"), (t) => ({ text: t.textContent, box: t.getBBox() }));
    const name = chart.getAttribute("aria-label");
    for (const [i, one] of words.entries()) {
      const b = one.box;
      if (b.x < -1 || b.y < -1 || b.x + b.width > frame.width + 1 || b.y + b.height > frame.height + 1)
        wrong.push(`${name}: "${one.text}" leaves its panel`);
      for (const other of words.slice(i + 1)) {
        const o = other.box;
        const across = Math.min(b.x + b.width, o.x + o.width) - Math.max(b.x, o.x);
        const down = Math.min(b.y + b.height, o.y + o.height) - Math.max(b.y, o.y);
        if (across > 2 && down > 4) wrong.push(`${name}: "${one.text}" lies on "${other.text}"`);
      }
    }
  }
  return wrong;
"""

# The table of results.
TABLE = """
  const table = document.querySelector("#results table");
  if (!table || table.tBodies[0].rows.length < 2) return null;
  const heads = Array.from(table.tHead.rows[0].cells);
  const cells = (i) => Array.from(table.tBodies[0].rows, (r) => r.cells[i].textContent.trim());
"""

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9, "": 1}


def number(cell):
    """`9.80 KiB ±1 B` as bytes, `1.02 ms` as nanoseconds; None for what is not known."""
    words = cell.split("/")[0].split()
    if not words or words[0] == "-":
        return None
    unit = words[1] if len(words) > 1 and words[1] in UNITS else ""
    return float(words[0].replace(",", "")) * UNITS[unit]


def click(browser, at):
    for kind in ["mousePressed", "mouseReleased"]:
        browser.call("Input.dispatchMouseEvent", type=kind, x=at["x"], y=at["y"], button="left", clickCount=1)


def press(browser, key, text=None):
    down = {"text": text} if text else {}
    code = {"Enter": 13, "ArrowRight": 39, "Escape": 27, "Tab": 9}[key]
    browser.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **down)
    browser.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)


def view(browser, width, scheme, media="screen", mobile=False):
    height = 800
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", media=media, features=features)


def pictures(browser, folder, name, width):
    height = browser.run("scrollTo(0, 0); return document.documentElement.scrollHeight;")
    for part in range(min(PARTS, -(-height // PART_HEIGHT))):
        top = part * PART_HEIGHT
        clip = {"x": 0, "y": top, "width": width, "height": min(PART_HEIGHT, height - top), "scale": 1}
        shot = browser.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        (folder / f"{name}-{part + 1}.png").write_bytes(base64.b64decode(shot["data"]))


def check_plots(browser):
    problems = []
    panels = browser.run(PANELS)
    if not panels:
        problems.append("there is no plot")
    for panel in panels:
        if not panel["empty"] and (panel["marks"] == 0 or panel["drawn"] < 5):
            problems.append(f"plot without points: {panel['name']}")
    print(f"    {len(panels)} plots, {sum(p['marks'] for p in panels)} marks")
    return problems + browser.run(WORDS)[:20]


def in_order(cells, way):
    known = [number(c) for c in cells if number(c) is not None]
    unknown_last = all(number(c) is None for c in cells[len(known) :])
    return unknown_last and known == sorted(known, reverse=way == "descending")


def check_sort(browser):
    at = browser.run(TABLE + "return heads.map((h, i) => ({ name: h.textContent, figure: h.classList.contains('n'), column: i }));")
    if at is None:
        print("    nothing to sort: one result")
        return []
    problems, tried = [], 0
    for head in [h for h in at if h["figure"]]:
        read = TABLE + f"return {{ cells: cells({head['column']}), state: heads[{head['column']}].getAttribute('aria-sort') }};"
        place = TABLE + PLACE + f"return middle(heads[{head['column']}].querySelector('button') || table);"
        for way in ["ascending", "descending"]:
            click(browser, browser.run(place))
            now = browser.run(read)
            if now["state"] != way or not in_order(now["cells"], way):
                problems.append(f"column {head['name']} after a click: {now['state']}, {now['cells'][:6]}")
        tried += 1
    # The same by keyboard.
    browser.run(TABLE + "heads[0].querySelector('button').focus();")
    press(browser, "Tab")
    press(browser, "Enter", "\r")
    state = browser.run(TABLE + "return heads[1].getAttribute('aria-sort');")
    if state != "ascending":
        problems.append(f"the second head after Tab and Enter is sorted {state}")
    print(f"    {tried} columns sorted by click, one by keyboard")
    return problems


TIP = "const tip = document.getElementById('tip'); return tip.hidden ? null : tip.textContent;"
SECOND_MARK = "const chart = document.querySelector('.panels svg.chart'); const mark = chart.querySelectorAll('.h circle')[1];"


def check_values(browser):
    problems = []
    title = browser.run(SECOND_MARK + "return (mark.querySelector('title') || { textContent: mark.dataset.says }).textContent;")
    at = browser.run(SECOND_MARK + PLACE + "return middle(mark);")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=at["x"], y=at["y"])
    if browser.run(TIP) is None:
        problems.append("hovering over a mark shows nothing")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    if browser.run(TIP) is not None:
        problems.append("a value stays when the pointer has left")
    browser.run("document.querySelector('.panels svg.chart').focus();")
    press(browser, "ArrowRight")
    first = browser.run(TIP)
    press(browser, "ArrowRight")
    second = browser.run(TIP)
    if not first or not second or first == second:
        problems.append(f"arrow keys show `{first}`, then `{second}`")
    press(browser, "Escape")
    if browser.run(TIP) is not None:
        problems.append("Escape does not hide the value")
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    at = browser.run(SECOND_MARK + PLACE + "return middle(mark);")
    browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[at])
    browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    touched = browser.run(TIP)
    if not touched:
        problems.append("touching a mark shows nothing")
    browser.call("Emulation.setTouchEmulationEnabled", enabled=False)
    print(f"    the second mark says `{title}`, touched `{touched}`")
    return problems


def check_width(browser, width):
    wide = browser.run("for (const d of document.querySelectorAll('details')) d.open = true; return document.documentElement.scrollWidth;")
    if wide <= width:
        return []
    culprit = browser.run(
        f"return Array.from(document.querySelectorAll('body *')).filter((e) => !e.closest('.box, pre, svg') && e.getBoundingClientRect().right > {width} + 1)"
        ".slice(0, 3).map((e) => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 40));"
    )
    return [f"at {width} pixels the page is {wide} wide: {culprit}"]


def check_events(browser, address):
    problems = []
    for event in browser.events:
        name, said = event["method"], event["params"]
        if name == "Network.requestWillBeSent" and said["request"]["url"] != address:
            problems.append(f"asks for {said['request']['url']}")
        elif name == "Runtime.exceptionThrown":
            problems.append(f"exception: {said['exceptionDetails'].get('exception', {}).get('description')}")
        elif name == "Runtime.consoleAPICalled":
            problems.append(f"console: {said['type']} {[a.get('value') for a in said['args']]}")
        elif name == "Log.entryAdded":
            problems.append(f"log: {said['entry']['level']}: {said['entry']['text']}")
    return problems


def open_page(browser, address):
    browser.events = []
    browser.call("Page.navigate", url=address)
    browser.wait("Page.loadEventFired")


def look(browser, page, folder):
    address = page.resolve().as_uri()
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    browser.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ["Page", "Runtime", "Log", "Network"]:
        browser.call(f"{domain}.enable")
    view(browser, WIDE, "light")
    open_page(browser, address)
    pictures(browser, folder, "light", WIDE)
    problems = check_width(browser, WIDE) + check_plots(browser) + check_sort(browser) + check_values(browser)
    problems += check_events(browser, address)
    view(browser, WIDE, "dark")
    open_page(browser, address)
    pictures(browser, folder, "dark", WIDE)
    view(browser, NARROW, "light", mobile=True)
    open_page(browser, address)
    pictures(browser, folder, "narrow", NARROW)
    problems += check_width(browser, NARROW) + check_events(browser, address)
    view(browser, WIDE, "dark", media="print")
    open_page(browser, address)
    paper = browser.run("return getComputedStyle(document.body).backgroundColor;")
    if paper != "rgb(255, 255, 255)":
        problems.append(f"in print the paper is {paper}")
    printed = base64.b64decode(browser.call("Page.printToPDF", printBackground=False)["data"])
    (folder / "print.pdf").write_bytes(printed)
    if not printed.startswith(b"%PDF") or len(printed) < 10_000:
        problems.append(f"the PDF has {len(printed)} bytes")
    # Without its script the page is whole: plots, and the browser's own hints.
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    open_page(browser, address)
    hints = browser.run("return document.querySelectorAll('.panels svg .h circle title').length;")
    if hints == 0:
        problems.append("without script no mark says its value")
    return problems


def main():
    page, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        raise SystemExit("problem: there is no chromium")
    folder.mkdir(parents=True, exist_ok=True)
    profile = folder / "profile"
    profile.mkdir()
    browser = Browser(program, str(profile))
    try:
        problems = look(browser, page, folder)
    finally:
        browser.end()
        shutil.rmtree(profile, ignore_errors=True)
    for problem in problems:
        print(f"problem: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
