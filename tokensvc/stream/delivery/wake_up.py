"""The signal that ends the pause of the sender of this process."""

import threading
from typing import Final

DUE: Final = threading.Event()
"""Set after the commit of a change that Stream must get, so that it does not wait for a look."""
