#!/usr/bin/env python3
"""What zmap4_test.sh and hostile_peer.py need of targets and rows:

rows.py addresses FAMILY             prints the 64 targets of a scan
rows.py targets FAMILY FILE COUNT    writes so many as a target file, prints the CIDRs for ZMap
rows.py check FAMILY PROBE           reads JSON rows: are they those that peer.py causes?
rows.py same FILE FILE               do two ZMaps' rows say the same?
"""
import collections
import ipaddress
import json
import sys

import peer

COUNT = 64


def addresses(family, count=COUNT):
    if family == 4:
        return [ipaddress.ip_address("198.18.0.0") + i for i in range(count)]
    # ZMap takes the second byte for a protocol (6 and 17: TCP and UDP) and the third and fourth group
    # for the source address, by which it would find duplicates.
    prefixes = ("2001:db8", "fd06:db8", "fd11:db8")
    return sorted(ipaddress.ip_address(f"{prefixes[i % 3]}:0:0:{i * 7919 % 65536:x}:0:0:{i:x}") for i in range(count))


def write_targets(family, path, count, ttls=1):
    """The format is described in wire/target_file.h, the set of indices in wire/index_set.h."""
    with open(path, "wb") as file:
        file.write(b"mptarget" + bytes([1, family]) + bytes(6) + count.to_bytes(8, "big") + bytes(8))
        for address in addresses(family, count):
            file.write(address.packed)
    base = ipaddress.ip_address("1.0.0.0")
    print(*ipaddress.summarize_address_range(base, base + (count * ttls - 1)))


def expected(family, probe, address):
    """The rows for a target, without what the scan chose at random."""
    kind = peer.KINDS[address.packed[-1] % 8]
    row = {"saddr": str(address), "sport": peer.PORT, "ttl": peer.TTL, "probe": probe}
    if family == 4:
        row["ipid"] = peer.IPID
    synack = {"classification": "synack", "success": 1, "seqnum": str(peer.SEQ), "window": peer.WINDOW, "tcp_flags": 18}
    if kind == "unreachable":
        kind_and_code = (3, 13) if family == 4 else (1, 1)
        row |= {"classification": "icmp", "success": 0, "responder": peer.ROUTER[family]}
        row |= {"icmp_type": kind_and_code[0], "icmp_code": kind_and_code[1]}
    elif kind == "reset":
        row |= {"classification": "rst", "success": 0, "seqnum": "0", "window": peer.WINDOW, "tcp_flags": 20, "mptcp": "none"}
    elif kind in ("mirror", "host") and probe in ("v0", "v1"):
        version = int(probe[1])
        row |= synack | {"mptcp": "capable", "mptcp_version": version, "mptcp_flags": 0x81 if version == 0 else 0x01}
        row["mptcp_length"] = 4 if (kind, probe) == ("mirror", "v1") else 12
        if kind == "host":
            row["mptcp_key"] = peer.KEY.hex()
    else:
        row |= synack | {"mptcp": "none"}
    if probe == "canary" and kind != "unreachable":
        row["canary"] = "mirrored" if kind in ("mirror", "strip") else "none"
    times = {"twice": 2, "silent": 0, "forged": 0}.get(kind, 1)
    return [row | {"repeat": int(i > 0)} for i in range(times)]


RANDOM = {"daddr", "dport", "acknum", "tcp_options", "quote", "mptcp_key", "sent_key", "sent_canary", "cooldown"}


def read_rows(lines):
    """Rows in ZMap 4's names, without time and without ZMap's raw addresses."""
    rows = []
    for line in lines:
        row = {name.replace("-", "_"): value for name, value in json.loads(line).items()}
        for name in [name for name in row if name.startswith("timestamp_") or name.endswith("_raw")]:
            del row[name]
        rows.append({name: int(value) if isinstance(value, bool) else value for name, value in row.items()})
    return sorted(rows, key=lambda row: (row["saddr"], row["repeat"]))


def text(row):
    return json.dumps(row, sort_keys=True)


def compare(wanted, got):
    wanted, got = collections.Counter(map(text, wanted)), collections.Counter(map(text, got))
    for what, rows in ("missing", wanted - got), ("unexpected", got - wanted):
        for row in sorted(rows)[:3]:
            print(f"{what}, one of {rows.total()}: {row}")


def check(family, probe):
    def complain(what, row):
        print(f"{what}: {text(row)}")

    lines = sys.stdin.readlines()
    rows = read_rows(lines)
    present = {name for line in lines for name in json.loads(line)}
    for name in ("saddr_raw", "daddr_raw"):
        if (name in present) != (family == 4):
            print(f"{name} in a row of IPv{family}: {name in present}")
    for row in rows:
        kind = peer.KINDS[ipaddress.ip_address(row["saddr"]).packed[-1] % 8]
        if row["dport"] < 32768 or row["daddr"] not in ("192.0.2.1", "2001:db8::1"):
            complain("our side", row)
        if ("sent_key" in row) != (probe == "v0") or ("sent_canary" in row) != (probe == "canary"):
            complain("sent", row)
        if kind == "mirror" and row.get("mptcp_key") != row.get("sent_key"):
            complain("mirrored key", row)
        if kind == "mirror" and row.get("sent_canary", "") not in row["tcp_options"]:
            complain("mirrored canary", row)
        if kind == "unreachable" and ipaddress.ip_address(row["saddr"]).packed.hex() not in row["quote"]:
            complain("quote", row)
    bare = [{name: value for name, value in row.items() if name not in RANDOM} for row in rows]
    for row, full in zip(bare, rows):  # the host's key is not random
        if full.get("mptcp_key") == peer.KEY.hex():
            row["mptcp_key"] = full["mptcp_key"]
    compare([row for address in addresses(family) for row in expected(family, probe, address)], bare)


def same(first, second):
    """Whether a reply came in cooldown is the machine's speed, not the module's doing."""
    with open(first) as a, open(second) as b:
        rows = [read_rows(file) for file in (a, b)]
    for row in rows[0] + rows[1]:
        del row["cooldown"]
    compare(*rows)


def main():
    command, *arguments = sys.argv[1:]
    if command == "addresses":
        print(*addresses(int(arguments[0])), sep="\n")
    elif command == "targets":
        write_targets(int(arguments[0]), arguments[1], int(arguments[2]))
    elif command == "check":
        check(int(arguments[0]), arguments[1])
    elif command == "same":
        same(*arguments)


if __name__ == "__main__":
    main()
