"""The first few detections of a class, in the order of event time; the others are counted only."""

from __future__ import annotations

from bisect import insort
from typing import Generic, TypeVar

from cep.backtest.occurrence import Place

Item = TypeVar("Item")


class Listing(Generic[Item]):
    def __init__(self, items_max: int) -> None:
        self._items_max = items_max
        self._kept: list[tuple[Place, Item]] = []

    def wants(self, place: Place) -> bool:
        """Whether what is there would be listed, as far as is known."""
        return len(self._kept) < self._items_max or place < self._kept[-1][0]

    def add(self, place: Place, item: Item) -> None:
        insort(self._kept, (place, item), key=lambda kept: kept[0])
        del self._kept[self._items_max :]

    @property
    def items(self) -> list[Item]:
        return [item for _, item in self._kept]
