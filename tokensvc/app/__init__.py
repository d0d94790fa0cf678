"""
Start-up, and the only place that builds objects from settings.

`foundation.py`, `accounts.py` and `container.py` build, `mount.py` mounts the routes, `startup.py`
prepares the settings and the database, `key_files.py` reads the keys in files, `background.py` has
the loop of all background threads.
"""
