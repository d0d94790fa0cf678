"""The signal that ends the pause of the sender of this process."""

import threading
from typing import Final

SENDER_WAKE_UP: Final = threading.Event()
"""Set after the commit of a change that Stream must get, so that the sender does not wait."""

notify_sender = SENDER_WAKE_UP.set
