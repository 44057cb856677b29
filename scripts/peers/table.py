"""What was asked beside what was measured."""
import statistics


def figure(value):
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) < 10 else f"{value:.1f}"


class Row:
    """One figure of all rounds. `least` or `most` is what is asked of its median; a row without is there to be read."""

    def __init__(self, section, what, unit, values, least=None, most=None, note=None):
        self.section, self.what, self.unit, self.least, self.most, self.note = section, what, unit, least, most, note
        self.values = [value for value in values if value is not None]
        self.failed = len(values) - len(self.values)

    def spread(self):
        if not self.values:
            return None, None, None
        return min(self.values), statistics.median(self.values), max(self.values)

    def asked(self):
        if self.least is not None:
            return f">= {figure(self.least)}"
        return f"<= {figure(self.most)}" if self.most is not None else ""

    def verdict(self):
        if not self.asked():
            return ""
        middle = self.spread()[1]
        if middle is None:
            return "not measured"
        return "met" if (middle >= self.least if self.least is not None else middle <= self.most) else "NOT MET"

    def cells(self):
        spread = [figure(value) for value in self.spread()] if self.values else ["", self.note or "failed: see notes", ""]
        what = self.what + (f" ({self.failed} of {self.failed + len(self.values)} rounds failed)" if self.values and self.failed else "")
        return [self.section, what, self.unit, self.asked(), *spread, self.verdict()]

    def plain(self):
        low, middle, high = self.spread()
        return {"section": self.section, "what": self.what, "unit": self.unit, "asked": self.asked() or None, "min": low,
                "median": middle, "max": high, "values": self.values, "rounds_failed": self.failed,
                "verdict": self.verdict() or None, "note": self.note}


HEAD = ["section", "what", "unit", "asked", "min", "median", "max", "verdict"]


def as_text(rows):
    lines = [HEAD] + [row.cells() for row in rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    left = (0, 1, 2, 7)
    return "\n".join(
        "  ".join(cell.ljust(width) if n in left else cell.rjust(width) for n, (cell, width) in enumerate(zip(line, widths))).rstrip()
        for line in lines)


def as_markdown(rows):
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|---|---:|---:|---:|---:|---|"]
    return "\n".join(lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row.cells()) + " |" for row in rows])
