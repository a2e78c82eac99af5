"""Telling people: outbox row → delivery → message to a destination, at least once.

Contract: each (detection, destination) becomes exactly one `delivery` row with a fixed id and, once
rendered, fixed bytes; it is sent until it is delivered or dead, and every attempt is recorded.
Never decides whether a pattern matched, and never forgets: what cannot be sent is a dead delivery
with a reason.
"""
