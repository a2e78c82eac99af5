"""Durable state: `open_store(url)` gives a `cep.ports.Store`, `cep.store.reads` the listings."""
