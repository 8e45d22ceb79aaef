"""How old what a plan goes by is: prices and AWS's resource schemas age without anybody noticing."""

from datetime import date, timedelta

from spotfleet.plan import prices

# When spotfleet/facts/create_only_properties.json was last written; a test asks for it with each new content.
SCHEMAS_DATE = "2026-11-26"
SCHEMAS_CONTENT = "0f29ce316f85"
OLDEST = timedelta(days=365)


def remarks(today: date) -> list[str]:
    """Return what is older than a year, with its date."""
    ages = {"The prices": prices.DATE, "AWS's resource schemas": SCHEMAS_DATE}
    return [
        f"{what} are of {day}, more than a year ago: compare with AWS's own."
        for what, day in ages.items()
        if today - date.fromisoformat(day) > OLDEST
    ]
