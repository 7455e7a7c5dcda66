"""Whether an address is on the public internet, in whatever form IPv6 carries it."""

from __future__ import annotations

import ipaddress

Number = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def reached(number: Number) -> Number:
    """Return the IPv4 address that an IPv6 address leads to, by mapping, 6to4 or NAT64; others as they are.

    Examples
    --------
    >>> reached(ipaddress.ip_address("64:ff9b::a9fe:a9fe"))
    IPv4Address('169.254.169.254')
    """
    if isinstance(number, ipaddress.IPv4Address):
        return number
    inner = number.ipv4_mapped or number.sixtofour
    if inner is None and number in _NAT64:
        inner = ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
    return inner or number


def is_public(number: Number) -> bool:
    """Return whether an address is on the public internet.

    Examples
    --------
    >>> [is_public(ipaddress.ip_address(a)) for a in ("93.184.216.34", "2002:a00:1::", "fec0::1", "64:ff9b:1::a00:1")]
    [True, False, False, False]
    """
    ip = reached(number)
    if isinstance(ip, ipaddress.IPv6Address) and (ip.teredo or ip.is_site_local):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)
