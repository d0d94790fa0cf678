"""The hosts of a PostgreSQL URL, in the one form that both libpq and SQLAlchemy read. Pure."""

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode

_URL = re.compile(
    r"(?P<start>postgres[a-z+]*://(?:[^/?#]*@)?)(?P<hosts>[^/?#@]*)(?P<path>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>\d*))?")
"""A host name, an address in brackets, or the folder of a Unix socket; and a port."""


def with_hosts_in_query(url: str) -> str:
    """
    Return a URL with several hosts as `?host=a,b&port=5432,5433`, and any other URL unchanged.

    Args:
        url: URL that lists hosts before its path, as libpq reads it, or that has several times
            `host` in its query, as SQLAlchemy reads it.

    Raises:
        ValueError: A host or a port is invalid. The text does not quote it.
    """
    found = _URL.fullmatch(url)
    if found is None:
        return url
    query = parse_qsl(found["query"] or "", keep_blank_values=True)
    in_query = [value for name, value in query if name == "host"]
    if "," in found["hosts"] or "%" in found["hosts"]:  # or the folder of a Unix socket
        listed = [unquote(host) for host in found["hosts"].split(",")]
    elif len(in_query) > 1:
        listed = in_query
    else:
        return url
    hosts = [split for text in listed if (split := _HOST.fullmatch(text))]
    if len(hosts) < len(listed):
        raise ValueError("write several hosts as host:5432,other:5432")
    replaced = {"host": ",".join(host["host"].strip("[]") for host in hosts)}
    if any(host["port"] for host in hosts):
        replaced["port"] = ",".join(host["port"] or "" for host in hosts)
    kept = [(name, value) for name, value in query if name not in replaced]
    return _joined(found, [*replaced.items(), *kept])


def for_primary(url: str) -> str:
    """Return the URL, which after `with_hosts_in_query` names the primary of several hosts."""
    found = _URL.fullmatch(url)
    query = dict(parse_qsl(found["query"] or "", keep_blank_values=True)) if found else {}
    if found is None or "," not in query.get("host", ""):
        return url
    return _joined(found, [*{**query, "target_session_attrs": "read-write"}.items()])


def _joined(url: re.Match[str], query: list[tuple[str, str]]) -> str:
    text = urlencode(query, safe=",/:", quote_via=quote)
    return f"{url['start']}{url['path']}?{text}"
