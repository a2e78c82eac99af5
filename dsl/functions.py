RESERVED: frozenset[str] = frozenset()
