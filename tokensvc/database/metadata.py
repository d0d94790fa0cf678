"""
The collection of all tables of this release. Each is defined next to the store that owns it.

`migrations/` creates and changes them in a database. Times are epoch seconds: integers, except
those of `sessions`, which have fractions. Constraints protect what a bug would otherwise break
silently.
"""

import sqlalchemy as sa

metadata = sa.MetaData()
