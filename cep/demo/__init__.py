"""The demo: a small bank under attack and its machines failing, for a minute.

`python -m cep.demo` plays `scenario` into the log while the real engine, dispatcher,
a webhook receiver and a mail sink run; it passes only when everything planted was found and
delivered.
"""
