"""IDs that sort in the order of their creation."""

from hypothesis import given
from hypothesis import strategies as st

from tokensvc.core.ids import sortable_id


@given(st.lists(st.floats(0, 4e9), min_size=2, max_size=8))
def test_ids_sort_by_creation_if_the_clock_is_set_back(times):
    ids = []
    for now in times:
        ids.append(sortable_id("key", ids[-1] if ids else None, now, "0" * 8))
    assert ids == sorted(set(ids))
