"""Reading a process's metrics as Prometheus does."""

from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

TOKEN = "a token for scrapers, 16+"

Answer = tuple[int, str, bytes]


def ask(url: str, token: str = "") -> Answer:
    """Status, media type and body of a GET."""
    request = Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urlopen(request, timeout=5) as response:
            return response.status, response.headers["Content-Type"], response.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


class Samples(dict[tuple[str, frozenset[tuple[str, str]]], float]):
    """What one scrape found; call it with a name and labels, 0 for what is not there."""

    def __call__(self, name: str, **labels: Any) -> float:
        return self.get((f"chunshui_{name}", frozenset((key, str(value)) for key, value in labels.items())), 0.0)


def read(text: str) -> Samples:
    """The samples of a page."""
    found = Samples()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def scrape(base: str) -> Samples:
    """The metrics of the process at `base`."""
    status, kind, body = ask(f"{base}/metrics", TOKEN)
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    return read(body.decode())
