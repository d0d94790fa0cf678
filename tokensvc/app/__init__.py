"""
Start-up, and the only place that builds objects from settings.

`build.py` builds the record of `services.py`, with `build_stream.py`, `build_accounts.py` and
`build_operations.py`; `mount.py` mounts the routes. `loops.py` has the table of the background
loops, `background.py` the loop itself, and `process.py` starts and stops a process. `startup.py`
prepares the settings and the database, `key_files.py` reads the keys in files.
"""
