"""What pipeline/targets must agree with, by Python's ipaddress alone.

reference.py build BLOCKLIST HITLIST   prints the target file in hexadecimal
reference.py cidrs                     reads counts, prints the CIDRs of [1.0.0.0, 1.0.0.0 + count) in a line each
reference.py blocked BLOCKLIST         reads addresses, prints for each whether it is blocked, and whether it is global
"""

import ipaddress
import struct
import sys


def networks(path, strict):
    with open(path) as lines:
        for line in lines:
            entry = line.split("#")[0].strip()
            if entry:
                yield ipaddress.ip_network(entry, strict)


def build(blocklist, hitlist):
    blocked = list(networks(blocklist, strict=False))
    named = {address for network in networks(hitlist, strict=True) for address in network}
    targets = sorted(a for a in named if not any(a in b for b in blocked))
    print(struct.pack(">8sBB6xQ8x", b"mptarget", 1, targets[0].version, len(targets)).hex(), end="")
    print("".join(a.packed.hex() for a in targets))


def cidrs():
    base = ipaddress.IPv4Address("1.0.0.0")
    for line in sys.stdin:
        last = base + (int(line) - 1)
        print(*ipaddress.summarize_address_range(base, last))


def blocked(blocklist):
    prefixes = list(networks(blocklist, strict=False))
    for line in sys.stdin:
        address = ipaddress.ip_address(line.strip())
        print(any(address in p for p in prefixes), address.is_global)


{"build": build, "cidrs": cidrs, "blocked": blocked}[sys.argv[1]](*sys.argv[2:])
