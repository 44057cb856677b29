"""Programs that are started, pinned, measured and ended. All of them die with this one (PR_SET_PDEATHSIG)."""
import ctypes
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

SERVER_CPU, CLIENT_CPU = 1, 0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
START_S = 10
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
TAIL = 300


class Failed(Exception):
    """A run that gave no figure, and why."""


def with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_for(what, seconds, look):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise Failed(f"{what}: not within {seconds:g} s")


def text_of(path):
    with open(path, errors="replace") as file:
        return file.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- what /proc says of a process ----------------------------------------------------------------


def cpu_s(pid):
    """User and system CPU-seconds of all its threads so far."""
    try:
        fields = text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except OSError as gone:
        raise Failed("it ended before its window did") from gone
    return int(fields[11]) * TICK_S, int(fields[12]) * TICK_S


def rss_anon_bytes(pid):
    try:
        found = re.search(r"^RssAnon:\s+(\d+) kB", text_of(f"/proc/{pid}/status"), re.MULTILINE)
    except OSError:
        found = None
    if not found:
        raise Failed("it ended before its memory was read")
    return int(found[1]) * 1024


def cpu_s_by_thread(pid):
    """By the names of its threads."""
    found = {}
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            name = text_of(f"/proc/{pid}/task/{task}/comm").strip()
            found[name] = found.get(name, 0) + int(text_of(f"/proc/{pid}/task/{task}/schedstat").split()[0]) / 1e9
    except OSError:
        pass  # one that has ended
    return found


def descriptors(pid):
    """How many it has open: what stat(2) says of its folder (Linux 6.2), which costs nothing."""
    try:
        return os.stat(f"/proc/{pid}/fd").st_size
    except OSError:
        return 0


# ---- clients -------------------------------------------------------------------------------------


class Client:
    """A command under `measured`, which says what it used."""

    count = 0

    def __init__(self, work, command, cpu=CLIENT_CPU):
        Client.count += 1
        self.base = os.path.join(work, f"client-{Client.count}")
        self.command = command
        with open(self.base + ".out", "w") as out, open(self.base + ".err", "w") as err:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(cpu), os.path.join(work, "measured"), self.base + ".used", *command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=with_parent)
        self.begun = time.monotonic()

    def used(self):
        path = self.base + ".used"
        return [json.loads(line) for line in text_of(path).splitlines() if line.endswith("}")] if os.path.exists(path) else []

    def pid(self):
        return wait_for(self.command[0], START_S, self.used)[0]["pid"]

    def runs(self):
        return self.process.poll() is None

    def out(self):
        return text_of(self.base + ".out")

    def err(self):
        return text_of(self.base + ".err")

    def finish(self, seconds, codes=(0,)):
        """What it used, once it has ended by itself."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"did not end within {seconds:g} s") from None
        finally:
            self.end()
        used = self.used()
        if self.process.returncode not in codes or len(used) < 2:
            raise Failed(f"exit code {self.process.returncode}: {(self.err().strip() or self.out().strip())[-TAIL:]}")
        return used[1]

    def said_why(self):
        """Of one that ended too early: what it said is worth more than that it did."""
        if not self.runs() and self.process.returncode != 0:
            raise Failed(f"exit code {self.process.returncode}: {(self.err().strip() or self.out().strip())[-TAIL:]}")

    def end(self):
        """`measured` takes its command with it."""
        if self.runs():
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()


# ---- servers -------------------------------------------------------------------------------------


class Server:
    """A server on its CPU, which says in its first line where it listens."""

    count = 0

    def __init__(self, work, command):
        Server.count += 1
        self.base = os.path.join(work, f"server-{Server.count}")
        with open(self.base + ".out", "w") as out, open(self.base + ".err", "w") as err:
            self.process = subprocess.Popen(["taskset", "-c", str(SERVER_CPU), *command], stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=err, preexec_fn=with_parent)
        self.pid = self.process.pid

    def __enter__(self):
        try:
            self.ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def ready(self):
        line = wait_for("the server's first line", START_S, lambda: self.alive() and re.match(r".*\n", text_of(self.base + ".out")))
        self.told = json.loads(line[0])
        self.address = self.told["address"]
        self.port = int(self.address.rpartition(":")[2])

    def alive(self):
        if self.process.poll() is not None:
            raise Failed(f"the server ended with code {self.process.returncode}: {text_of(self.base + '.err').strip()[-TAIL:]}")
        return True

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


NGINX = """
daemon off; master_process off; worker_rlimit_nofile {files}; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /status {{ stub_status; }}
        location / {{ default_type text/plain; return 200 "hello, world\\n"; }}
    }}
}}
"""


class Nginx(Server):
    """One worker, which counts its connections and requests itself."""

    def __init__(self, work, program):
        self.port = free_port()
        self.folder = os.path.join(work, f"nginx-{Server.count}")
        os.makedirs(self.folder)
        with open(os.path.join(self.folder, "conf"), "w") as conf:
            files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            conf.write(NGINX.format(folder=self.folder, port=self.port, files=files if 0 < files < 20000 else 20000))
        self.url = f"http://127.0.0.1:{self.port}/"
        self.asked = 0
        super().__init__(work, [program, "-e", os.path.join(self.folder, "error.log"), "-p", self.folder, "-c",
                                os.path.join(self.folder, "conf")])

    def ready(self):
        def answers():
            self.alive()
            try:
                self.line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                self.line.connect()
                return True
            except OSError:
                return False

        wait_for("nginx", START_S, answers)

    def status(self):
        """Open connections and requests taken so far, without those of this line."""
        try:
            self.line.request("GET", "/status")
            text = self.line.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"nginx does not tell its status: {error}") from error
        self.asked += 1
        active = int(re.search(r"Active connections: (\d+)", text)[1])
        requests = int(re.search(r"\n \d+ \d+ (\d+)", text)[1])
        return active - 1, requests - self.asked


# ---- programs ------------------------------------------------------------------------------------


def find(name):
    """The program of the variable that has its name, else the one on the PATH."""
    return shutil.which(os.environ.get(name.upper(), name))


def first_line(*command):
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = [line.strip() for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    return lines[0] if lines else None


def version(name, program):
    if name == "hey":
        return first_line("dpkg-query", "-W", "-f", "${Package} ${Version}\n", "hey") or "hey, which does not tell its version"
    return first_line(program, "-v" if name in ("wrk", "nginx") else "--version")


def build(work, sources):
    for name in sources:
        ran = subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", os.path.join(work, name), f"scripts/baseline/{name}.c"],
                             capture_output=True, text=True, timeout=60, check=False)
        if ran.returncode != 0:
            raise SystemExit(f"bench-peers: cc {name}.c: {ran.stderr}")


def system_calls(work, command, seconds, codes):
    """How often each was called, with all threads, by a run under strace(1)."""
    path = os.path.join(work, "strace")
    with Client(work, ["strace", "-f", "-c", "-o", path, *command]) as client:
        client.finish(seconds, codes)
        calls = {}
        for line in text_of(path).splitlines():
            found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(\w+)$", line)
            if found and found[2] != "total":
                calls[found[2]] = int(found[1])
        if not calls:
            raise Failed("strace counted nothing")
        return calls, client.out()


def counts_instructions():
    """None, or why not."""
    if not shutil.which("perf"):
        return "no perf"
    ran = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", "true"], capture_output=True, text=True, timeout=10,
                         check=False)
    return None if re.match(r"^\d+,", ran.stderr.strip()) else "perf stat -e instructions:u is not supported here"


def instructions(work, command, seconds, codes):
    path = os.path.join(work, "perf")
    with Client(work, ["perf", "stat", "-x,", "-e", "instructions:u", "-o", path, *command]) as client:
        client.finish(seconds, codes)
        found = re.search(r"^(\d+),", text_of(path), re.MULTILINE)
        if not found:
            raise Failed("perf counted nothing")
        return int(found[1]), client.out()
