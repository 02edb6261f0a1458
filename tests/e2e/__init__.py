"""A real Home Assistant with the integration, for `scripts/develop` and `scripts/end-to-end`.

pytest does not collect anything here: a real server does not fit into the test package's event loop.
"""
