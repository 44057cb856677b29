"""Something else that a machine does: uses a CPU, or is robbed of time by its hypervisor, as /proc/stat would tell.

    busy.py burn SECONDS           uses one CPU for so long, and ends
    busy.py steal FILE SHARE       until it is ended: keeps FILE, which stands for /proc/stat, as that is but for the time
                                   stolen, which grows by SHARE of all CPU time
"""

import os
import sys
import time

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def steal(path, share):
    cpus = os.cpu_count()
    begin = time.monotonic()
    # FILE will be mounted over /proc/stat: what was there is read through a descriptor of before.
    real = os.open("/proc/stat", os.O_RDONLY)
    out = os.open(path, os.O_WRONLY | os.O_CREAT)
    while True:
        lines = os.pread(real, 1 << 20, 0).decode().splitlines()
        ticks = int((time.monotonic() - begin) * TICKS_PER_S * cpus * share)
        fields = lines[0].split()
        # cpu user nice system idle iowait irq softirq steal guest guest_nice: proc_stat(5)
        fields[8] = str(int(fields[8]) + ticks)
        lines[0] = " ".join(fields)
        text = ("\n".join(lines) + "\n").encode()
        os.pwrite(out, text, 0)
        os.ftruncate(out, len(text))
        time.sleep(0.02)


if sys.argv[1] == "burn":
    burn(float(sys.argv[2]))
else:
    steal(sys.argv[2], float(sys.argv[3]))
