"""Tango's interval of the difference of paired shares, by finding roots: independent of the program's formulas."""
from scipy import optimize, stats


def likeliest(b, c, n, difference):
    """The share of pairs for the second, where that for the first is likeliest to be so much more."""
    low, high = max(0, -difference), (1 - difference) / 2
    edge = 1e-12 * (high - low)

    def slope(q):
        return b / (q + difference) + c / q - 2 * (n - b - c) / (1 - 2 * q - difference)
    if slope(low + edge) <= 0:
        return low
    return high if slope(high - edge) >= 0 else optimize.brentq(slope, low + edge, high - edge, xtol=1e-16, rtol=1e-14)


def tango(b, c, n, confidence):
    """Roots of the score with shares found by their likelihood, without the quadratic equation of the paper."""
    z = stats.norm.ppf(0.5 + confidence / 2)

    def low(b, c):
        def beyond(difference):
            variance = n * (2 * likeliest(b, c, n, difference) + difference - difference**2)
            return (b - c - n * difference) - z * variance**0.5
        return optimize.brentq(beyond, -0.999, (b - c) / n - 1e-12, xtol=1e-15, rtol=1e-13)
    return low(b, c), -low(c, b)
