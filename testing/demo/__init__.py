"""
`make demo`: two people chat in a browser with the service's tokens, and an operator revokes them.

`scene.py` runs the real service in front of the Stream double. `site.py` serves the page (`page/`)
and sends the operator's requests with a credential that the page never has. `modules.py` makes the
npm packages of the page loadable in a browser.
"""
