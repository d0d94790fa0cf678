"""The deployments in `docs/operations.md` follow from the costs of an action."""

from math import ceil

from testing.service import ROOT
from tokensvc.app.loops import MAX_LOOPS
from tokensvc.config.model import Settings
from tokensvc.sessions.settings import SessionSettings

PAGE = (ROOT / "docs/operations.md").read_text().partition("\n## Sizing\n")[2]
CONNECTIONS = Settings.model_fields["threads"].default + MAX_LOOPS
PEAK, DAY, SIGN_IN_DAYS, CHECKPOINTS, SESSIONS_OF_A_PAGE = 3, 86400, 30, 48, 17


def table(first):
    """Return the cells of each row, by its name, of the table whose heading begins so."""
    lines = PAGE.partition(f"\n| {first}")[2].partition("\n\n")[0].splitlines()[2:]
    return {name: cells for name, *cells in (line.strip("| ").split(" | ") for line in lines)}


def rounded(figure):
    """Return a figure with two digits."""
    short = float(f"{figure:.2g}")
    return "< 0.1" if figure < 0.1 else f"{short:,.0f}" if short >= 10 else f"{short:g}"


def sized(users, hours):
    """Return the figures for daily users who are online for some hours."""
    costs = [[float(cell.replace(",", "")) for cell in row[:3]] for row in table("act").values()]
    mint, refresh, first_of_page, first_of_day, sign_in, suspension = costs
    account, session, address, event, suspended = (int(row[0]) for row in table("row").values())
    online = users if hours == 24 else users * hours * PEAK / 24
    rate, refreshes = online / SessionSettings().access_ttl, users * hours * 6
    sign_ins, suspensions = users / SIGN_IN_DAYS, users / 1000
    rush = sign_ins * PEAK / DAY
    service, database = (
        2 * (rate * (mint[i] + refresh[i]) + rush * sign_in[i]) / 1000 for i in (0, 1)
    )
    workers = 2 if service <= 2 else min(8, ceil(service / 2))
    instances = max(2, ceil(service / workers) + 1)
    events = 2 * sign_ins + refreshes / 1000 + suspensions
    disk = users * (account + session + 5 * address) + 365 * events * event
    pages = min(refreshes, users / SESSIONS_OF_A_PAGE * CHECKPOINTS)
    wal = refreshes * refresh[2] + pages * first_of_page[2] + users * first_of_day[2]
    wal += sign_ins * sign_in[2] + suspensions * suspension[2]
    return [
        *map(rounded, (online, rate, rush, service)),
        f"{instances} x {workers}",
        f"{instances * workers * CONNECTIONS:,}",
        *map(rounded, (rate * (0.0019 + 0.0038), database, refreshes + sign_ins)),
        *map(rounded, ((disk + 365 * suspensions * suspended) / 1e9, wal / 1e9, 2 * rate)),
        *map(rounded, (60 * rate, suspensions * PEAK / 1440)),
    ]


def test_deployments_follow_from_the_costs_of_an_action():
    columns = [sized(10**power, hours) for hours in (1, 24) for power in (4, 5, 6, 7)]
    assert list(table("at the peak").values()) == [list(row) for row in zip(*columns, strict=True)]
