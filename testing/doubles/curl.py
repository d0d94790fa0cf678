"""A replacement for curl on machines without it, with the options that the documents use."""

import argparse
import sys

import urllib3


def main() -> int:
    parser = argparse.ArgumentParser(prog="curl")
    parser.add_argument("-s", "--silent", action="store_true")
    parser.add_argument("-S", "--show-error", action="store_true")
    parser.add_argument("-f", "--fail", action="store_true")
    parser.add_argument("-X", "--request")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-u", "--user")
    parser.add_argument("-d", "--data")
    parser.add_argument("url")
    options = parser.parse_args()
    headers = dict(header.split(": ", 1) for header in options.header)
    if options.user:
        headers |= urllib3.make_headers(basic_auth=options.user)
    method = options.request or ("GET" if options.data is None else "POST")
    response = urllib3.request(
        method, options.url, headers=headers, body=options.data, retries=False, timeout=30
    )
    sys.stdout.buffer.write(response.data)
    return 22 if options.fail and response.status >= 400 else 0


if __name__ == "__main__":
    sys.exit(main())
