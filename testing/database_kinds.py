"""The databases of a test that does not run on those of its folder."""

import pytest

on_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
on_both = pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"], indirect=True)
