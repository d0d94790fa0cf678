"""
Calls to Stream's server API, with the rights of the app's owner.

Contains the only caller of Stream and the server token. Is given a key pair and knows no key ring.
"""
