"""Distances on the globe, written once in plain arithmetic.

Interpreted and compiled it gives the same bits: IEEE 754 pins +, -, *, / and the square root, while
sines and arcsines differ from one mathematical library to the next.
"""

from __future__ import annotations

import math

from matcher.compiled import kernel

EARTH_RADIUS_KM = 6371.0088
"""The mean radius of the Earth (IUGG)."""

# arcsin(x) = x + x * N(x²) / D(x²) for x up to a half; highest power first
_NUMERATOR = (
    3.47933107596021167570e-05,
    7.91534994289814532176e-04,
    -4.00555345006794114027e-02,
    2.01212532134862925881e-01,
    -3.25565818622400915405e-01,
    1.66666666666666657415e-01,
    0.0,
)
_DENOMINATOR = (
    7.70381505559019352791e-02,
    -6.88283971605453293030e-01,
    2.02094576023350569471,
    -2.40339491173441421878,
    1.0,
)


def distance_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Great-circle distance in km between two points in degrees, by the haversine formula.

    NaN when a latitude is beyond 90 or a longitude beyond 180 degrees.  The sines are Taylor series
    up to x**23, whose next term is below 1e-20 on a quarter of a turn; the arcsine is that of
    fdlibm (e_asin.c).  Off by less than a millimetre, whatever the distance.
    """
    if not (abs(lat1) <= 90.0 and abs(lat2) <= 90.0 and abs(lon1) <= 180.0 and abs(lon2) <= 180.0):
        return math.nan
    half_lon = abs(lon1 - lon2) / 2.0
    if half_lon > 90.0:
        half_lon = 180.0 - half_lon
    half_lat = abs(lat1 - lat2) / 2.0
    squared, cosines = 0.0, 1.0
    for number, degrees in enumerate((90.0 - abs(lat1), 90.0 - abs(lat2), half_lon, half_lat)):
        x = degrees * (math.pi / 180.0)
        sine, term = x, x
        for k in range(1, 12):
            term = -term * x * x / ((2 * k) * (2 * k + 1))
            sine += term
        if number < 2:
            cosines *= sine  # the cosine of a latitude
        elif number == 2:
            squared = cosines * sine * sine
        else:
            squared += sine * sine
    s = math.sqrt(min(squared, 1.0))
    far = s > 0.5
    x = math.sqrt((1.0 - s) / 2.0) if far else s
    t = x * x
    above, below = 0.0, 0.0
    for coefficient in _NUMERATOR:
        above = above * t + coefficient
    for coefficient in _DENOMINATOR:
        below = below * t + coefficient
    arcsine = x + x * (above / below)
    if far:
        arcsine = math.pi / 2.0 - 2.0 * arcsine
    return 2.0 * EARTH_RADIUS_KM * arcsine


compiled_distance_km = kernel(distance_km)
