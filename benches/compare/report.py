"""Tables in Markdown, and the goals that stand in their last columns."""


class Goal:
    """`Goal(at_least=1.0)`: a ratio, unless a unit is given."""

    def __init__(self, at_least=None, at_most=None, unit="×", of=""):
        self.bound = at_least if at_least is not None else at_most
        self.is_lower, self.unit, self.of = at_least is not None, unit, of

    def __str__(self):
        return f"{self.of}{'≥' if self.is_lower else '≤'} {self.bound:g} {self.unit}".strip()

    def reached(self, value):
        return value >= self.bound if self.is_lower else value <= self.bound


def verdict(*goals_and_values):
    """The two last cells of a row: what is to be reached, and whether it is."""
    pairs = [(goal, value) for goal, value in goals_and_values if goal is not None]
    if not pairs:
        return ["", ""]
    known = [goal.reached(value) for goal, value in pairs if value is not None]
    words = "–" if len(known) < len(pairs) else "yes" if all(known) else "no"
    return [", ".join(str(goal) for goal, _ in pairs), words]


def table(title, columns, rows):
    lines = [f"| {title} | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    return "\n".join(lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows])


def figure(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def with_unit(value, unit):
    return "–" if value is None else f"{figure(value)} {unit}"


def divided(value, base):
    return None if value is None or not base else value / base


def times(value):
    return "–" if value is None else f"{value:.2f} ×"
