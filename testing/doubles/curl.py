"""A replacement for curl on machines without it, with the options that the documents use."""

import argparse
import sys
from pathlib import Path

import urllib3


def main() -> int:
    parser = argparse.ArgumentParser(prog="curl")
    parser.add_argument("-s", "--silent", action="store_true")
    parser.add_argument("-S", "--show-error", action="store_true")
    parser.add_argument("-f", "--fail", action="store_true")
    parser.add_argument("-X", "--request")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-u", "--user")
    parser.add_argument("-d", "--data", action="append")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("url")
    options = parser.parse_args()
    headers = dict(header.split(": ", 1) for header in options.header)
    if options.user:
        headers |= urllib3.make_headers(basic_auth=options.user)
    body = None if options.data is None else "&".join(options.data)
    if body is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    method = options.request or ("GET" if body is None else "POST")
    response = urllib3.request(
        method, options.url, headers=headers, body=body, retries=False, timeout=30
    )
    if options.output:
        options.output.write_bytes(response.data)
    else:
        sys.stdout.buffer.write(response.data)
    return 22 if options.fail and response.status >= 400 else 0


if __name__ == "__main__":
    sys.exit(main())
