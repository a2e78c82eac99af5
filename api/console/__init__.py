"""The console at `/`: pages for people, on the public API only.

Each page asks `/api/v1/…` for what it shows, and sends there what its forms say, in the same
process and with the credentials of its reader (`api.console.client`).  So it can do what its reader
may do, and nothing that a program could not do as well.
"""
