"""
The gunicorn worker: one loop for all connections of a process, and gunicorn's log.

Only this package subclasses gunicorn's classes and uses its private names. `GUNICORN_NAMES` lists
each, so that a test shows what a new version of gunicorn changes. Checked with gunicorn 27.
"""

GUNICORN_NAMES = {
    "gunicorn.SERVER": None,
    "gunicorn.arbiter.Arbiter": ("app",),
    "gunicorn.arbiter.Arbiter.kill_worker": ("self", "pid", "sig"),
    "gunicorn.arbiter.Arbiter.manage_workers": ("self",),
    "gunicorn.arbiter.Arbiter.reap_workers": ("self",),
    "gunicorn.arbiter.Arbiter.reload": ("self",),
    "gunicorn.arbiter.Arbiter.signal": ("self", "sig", "frame"),
    "gunicorn.arbiter.Arbiter.wait_for_signals": ("self", "timeout"),
    "gunicorn.config.Config": ("usage", "prog"),
    "gunicorn.config.Config.set": ("self", "name", "value"),
    "gunicorn.errors.HaltServer": ("reason", "exit_status"),
    "gunicorn.glogging.Logger": ("cfg",),
    "gunicorn.glogging.Logger._set_handler": ("self", "log", "output", "fmt", "stream"),
    "gunicorn.http.body.ChunkedReader": ("req", "unreader"),
    "gunicorn.http.body.ChunkedReader.read": ("self", "size"),
    "gunicorn.http.body.LengthReader": ("unreader", "length"),
    "gunicorn.http.body.LengthReader.read": ("self", "size"),
    "gunicorn.http.errors.ExpectationFailed": ("expect",),
    "gunicorn.http.errors.ForbiddenProxyRequest": ("host",),
    "gunicorn.http.errors.LimitRequestHeaders": ("msg",),
    "gunicorn.http.errors.LimitRequestLine": ("size", "max_size"),
    "gunicorn.http.errors.NoMoreData": ("buf",),
    "gunicorn.http.errors.ParseException": None,
    "gunicorn.http.errors.UnsupportedTransferCoding": ("hdr",),
    "gunicorn.http.message.Request": ("cfg", "unreader", "peer_addr", "req_number"),
    "gunicorn.http.message.Request._peer_trusted_for_forwarded": ("self",),
    "gunicorn.http.message.Request.should_close": ("self",),
    "gunicorn.http.unreader.Unreader": (),
    "gunicorn.http.unreader.Unreader.chunk": ("self", "size_hint"),
    "gunicorn.http.unreader.Unreader.take_buffered": ("self",),
    "gunicorn.http.wsgi.base_environ": ("cfg",),
    "gunicorn.workers.base.Worker": ("age", "ppid", "sockets", "app", "timeout", "cfg", "log"),
    "gunicorn.workers.base.Worker.notify": ("self",),
    "gunicorn.workers.base.Worker.run": ("self",),
    "gunicorn.workers.workertmp.WorkerTmp.last_update": ("self",),
}
"""Name and parameters of what is used of gunicorn; None for a constant."""
