"""What Linux says of a process's memory, and the slope of it over connections, threads or tasks.

Written without a look at how brink does the same, since the drill `slopes` holds one against the other. The fields are
those of proc_pid_status(5) and, for KernelStack, which is the whole machine's, proc_meminfo(5).
"""

STATUS = {"user_bytes": "RssAnon", "virtual_bytes": "VmSize", "page_table_bytes": "VmPTE"}
KERNEL_STACK = "kernel_stack_bytes"


def fields(path, names):
    """Bytes, by name, of a file of lines like `VmPTE:      52 kB`."""
    with open(path, encoding="ascii", errors="replace") as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    return {name: int(lines[field].split()[0]) * 1024 for name, field in names.items()}


def of_process(pid="self"):
    """Memory of one process."""
    return fields("/proc/%s/status" % pid, STATUS)


def of_process_and_machine(pid="self"):
    """The same, with the kernel stacks of all processes."""
    return dict(of_process(pid), **fields("/proc/meminfo", {KERNEL_STACK: "KernelStack"}))


def slope(points):
    """Least squares through (x, y): how much y grows with each x."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def slopes(plateaus):
    """The slope of each measure over plateaus: pairs of a count and the memory at it."""
    names = plateaus[0][1]
    return {name: slope([(count, memory[name]) for count, memory in plateaus]) for name in names}
