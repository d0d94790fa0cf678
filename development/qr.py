"""A QR code as text, for one short URL: version 3, error correction L, mask 0 (ISO/IEC 18004)."""

from collections.abc import Iterator

_SIZE = 29
_DATA_BYTES, _CHECK_BYTES = 55, 15
_CAPACITY = _DATA_BYTES - 2
_FORMAT = 0b111011111000100
_QUIET = 4
"""Width of the light border."""
_CHARACTERS = {(True, True): " ", (True, False): "▄", (False, True): "▀", (False, False): "█"}
"""By an upper and a lower module, true if dark. The light ones are drawn, for dark terminals."""


def qr_text(url: str) -> str:
    """Return lines in which each character has two modules, or nothing if the URL is too long."""
    data = url.encode()
    if len(data) > _CAPACITY:
        return ""
    dark = _fixed()
    payload = _codewords(data)
    bits = (byte >> shift & 1 for byte in payload for shift in range(7, -1, -1))
    for row, column in _free_places(dark):
        dark[row, column] = bool(next(bits, 0)) != ((row + column) % 2 == 0)
    span = range(-_QUIET, _SIZE + _QUIET)
    return "\n".join(
        "".join(_CHARACTERS[dark.get((row, x), False), dark.get((row + 1, x), False)] for x in span)
        for row in span[::2]
    )


def _codewords(data: bytes) -> bytes:
    """Return the data with length and padding, and its Reed-Solomon check bytes."""
    number = (0b0100 << 8 | len(data)) << 8 * len(data) | int.from_bytes(data)
    padding = (b"\xec\x11" * _DATA_BYTES)[: _CAPACITY - len(data)]
    padded = (number << 4).to_bytes(len(data) + 2) + padding
    generator = [1]
    for power in range(_CHECK_BYTES):
        shifted = [*generator, 0]
        for index, factor in enumerate(generator):
            shifted[index + 1] ^= _product(factor, _power_of_two(power))
        generator = shifted
    rest = [*padded, *[0] * _CHECK_BYTES]
    for index in range(len(padded)):
        lead = rest[index]
        for offset, factor in enumerate(generator):
            rest[index + offset] ^= _product(factor, lead)
    return padded + bytes(rest[len(padded) :])


def _product(one: int, other: int) -> int:
    """Multiply in the field with 256 elements and the polynomial 0x11D."""
    product = 0
    while other:
        product ^= one if other & 1 else 0
        one = one << 1 ^ (0x11D if one & 0x80 else 0)
        other >>= 1
    return product


def _power_of_two(exponent: int) -> int:
    power = 1
    for _ in range(exponent):
        power = _product(power, 2)
    return power


def _fixed() -> dict[tuple[int, int], bool]:
    """Return the modules that do not depend on the data: patterns and format."""
    dark: dict[tuple[int, int], bool] = {}
    last = _SIZE - 1
    for index in range(_SIZE):
        dark[6, index] = dark[index, 6] = index % 2 == 0
    for top, left in ((3, 3), (3, last - 3), (last - 3, 3)):
        dark |= _square(top, left, 4, light={2, 4})
    dark |= _square(22, 22, 2, light={1})
    dark = {place: state for place, state in dark.items() if min(place) >= 0 and max(place) <= last}
    dark[_SIZE - 8, 8] = True
    near = [(8, n) for n in (0, 1, 2, 3, 4, 5, 7, 8)] + [(n, 8) for n in (7, 5, 4, 3, 2, 1, 0)]
    far = [(last - n, 8) for n in range(7)] + [(8, _SIZE - 8 + n) for n in range(8)]
    for places in (near, far):
        for index, place in enumerate(places):
            dark[place] = bool(_FORMAT >> 14 - index & 1)
    return dark


def _square(top: int, left: int, radius: int, light: set[int]) -> dict[tuple[int, int], bool]:
    """Return rings around a centre, of which some are light."""
    reach = range(-radius, radius + 1)
    return {(top + y, left + x): max(abs(y), abs(x)) not in light for y in reach for x in reach}


def _free_places(fixed: dict[tuple[int, int], bool]) -> Iterator[tuple[int, int]]:
    """Yield the places of the data: pairs of columns from the right, up and down in turn."""
    taken = set(fixed)
    rights = [right - (right <= 6) for right in range(_SIZE - 1, 0, -2)]  # noqa: PLR2004 - timing
    for number, right in enumerate(rights):
        for step in range(_SIZE):
            row = step if number % 2 else _SIZE - 1 - step
            yield from (place for place in ((row, right), (row, right - 1)) if place not in taken)
