#!/usr/bin/env python3
"""What trace_test.sh needs beside a shell: a peer that is a chain of ROUTERS routers and, behind them,
a host for each target. A router quotes each SYN that ends at it as the target's case says; what must
become of every answer goes to a log.

trace_peer.py targets FAMILY FILE            writes the target file, prints the CIDRs for ZMap
trace_peer.py answer FAMILY INTERFACE LOG PCAP    answers, and writes the SYNs that came to PCAP
trace_peer.py compare FAMILY LOG ROWS ERRORS METADATA    whether a trace sent and found what it must

Packets are built from the RFCs: 792 and 4443 (quotes), 4884 (extensions), 3022 (NAT). What is expected
of them is what wire/quote.h promises, written by hand.
"""
import collections
import ipaddress
import json
import socket
import struct
import sys
import time

import peer as good
import rows as zmap_rows

FIRST_TTL, LAST_TTL = 2, 9
ROUTERS = 5
CASES = []
FOREIGN = "foreign-quote"
ELSEWHERE = {4: bytes([203, 0, 113, 77]), 6: bytes.fromhex("20010db8eeee00000000000000000077")}


def ttls():
    return LAST_TTL - FIRST_TTL + 1


def case(function):
    CASES.append(function)
    return function


def patch(packet, at, value):
    return packet[:at] + value + packet[at + len(value) :]


def number(packet, at, size):
    return int.from_bytes(packet[at : at + size], "big")


class Probe:
    """A SYN that came: where its fields are in the packet (RFC 791, 8200, 9293)."""

    def __init__(self, syn):
        self.syn, self.packet, self.family = syn, syn["packet"], syn["version"]
        self.header = 20 if self.family == 4 else 40
        self.ttl = self.packet[8 if self.family == 4 else 7]
        half = 4 if self.family == 4 else 16
        self.source_at, self.destination_at = self.header - 2 * half, self.header - half
        self.our_port_at, self.port_at, self.seq_at = self.header, self.header + 2, self.header + 4
        self.window_at = self.header + 14

    def address(self, packed):
        return str(ipaddress.ip_address(packed))

    def label(self):
        return number(self.packet, 4, 2) if self.family == 4 else number(self.packet, 0, 4) & 0xFFFFF

    def with_label(self, packet, label):
        if self.family == 4:
            return patch(packet, 4, struct.pack("!H", label % 2**16))
        return patch(packet, 0, struct.pack("!I", 6 << 28 | label % 2**20))

    def arrived(self):
        """The SYN as the router gets it, with its last hop to live."""
        packet = patch(self.packet, 8 if self.family == 4 else 7, b"\x01")
        return patch(packet, 10, b"\x12\x34") if self.family == 4 else packet

    def rewritten(self, seq=0, our_port=0, port=0, label=0, window=0, source=False, destination=False):
        """What arrived from behind a box: numbers are what it adds to a field."""
        packet = self.arrived()
        packet = patch(packet, self.seq_at, struct.pack("!I", (number(packet, self.seq_at, 4) + seq) % 2**32))
        packet = patch(packet, self.our_port_at, struct.pack("!H", (number(packet, self.our_port_at, 2) + our_port) % 2**16))
        packet = patch(packet, self.port_at, struct.pack("!H", number(packet, self.port_at, 2) + port))
        packet = patch(packet, self.window_at, struct.pack("!H", number(packet, self.window_at, 2) + window))
        packet = self.with_label(packet, self.label() + label)
        if source:
            packet = patch(packet, self.source_at, ELSEWHERE[self.family])
        if destination:
            packet = patch(packet, self.destination_at, ELSEWHERE[self.family])
        return packet

    def least(self, packet):
        return packet[: self.header + 8]

    def router(self):
        return (bytes([203, 0, 113, self.ttl]) if self.family == 4 else bytes.fromhex("20010db8ffff") + bytes(9) + bytes([self.ttl]))

    def icmp(self, quote, word=0):
        kind = 11 if self.family == 4 else 3
        message = struct.pack("!BBHI", kind, 0, 0, word) + quote
        return good.ip_packet(self.family, self.router(), self.syn["source"], good.ICMP[self.family], message)

    def row(self, **fields):
        """What all rows of this probe say."""
        row = {"saddr": self.address(self.syn["target"]), "sport": good.PORT, "ttl": good.TTL, "probe": "v1"}
        row |= {"daddr": self.address(self.syn["source"]), "dport": self.syn["port"], "success": 1}
        row |= {"probe_ttl": self.ttl, "sent": self.packet.hex()}
        if self.family == 4:
            row["ipid"] = good.IPID
        return row | fields

    def quoted(self, quote, word=0):
        row = self.row(classification="icmp", responder=self.address(self.router()), quote=quote.hex())
        return self.icmp(quote, word), row | {"icmp_type": 11 if self.family == 4 else 3, "icmp_code": 0}

    def foreign(self, quote):
        return self.icmp(quote), FOREIGN

    def host(self):
        """A SYN-ACK; from targets of even number an RST, which closed ports send."""
        ack = (self.syn["seq"] + 1) % 2**32
        seq, flags, kind, options = good.SEQ, 0x12, "synack", good.MSS
        if self.syn["target"][-1] % 2 == 0:
            seq, flags, kind, options = 0, 0x14, "rst", b""
        packet = good.ip_packet(
            self.family, self.syn["target"], self.syn["source"], good.TCP, good.segment(self.syn, seq, ack, flags, options)
        )
        row = self.row(classification=kind, seqnum=str(seq), acknum=str(ack), window=good.WINDOW, tcp_flags=flags)
        return packet, row | {"tcp_options": options.hex(), "mptcp": "none"}


@case
def least(probe):
    yield probe.quoted(probe.least(probe.arrived()))


@case
def whole(probe):
    yield probe.quoted(probe.arrived())


@case
def every_length(probe):
    """From eight bytes behind the IP header on, and shorter ones, which are none."""
    for length in range(probe.header + 8, len(probe.packet) + 1, 4):
        yield probe.quoted(probe.arrived()[:length])
    yield probe.icmp(probe.arrived()[: probe.header + 7]), "bad-quote"


@case
def extended(probe):
    """RFC 4884 sections 4 and 5: 128 bytes of quote, then extensions (here an MPLS label, RFC 4950)."""
    quote = probe.arrived().ljust(128, b"\0")
    word = 32 << 16 if probe.family == 4 else 16 << 24
    extension = bytes.fromhex("2000000000080101000001ff")
    packet, row = probe.quoted(quote + extension, word)
    yield packet, row | {"quote": quote.hex()}


@case
def sequence_number(probe):
    for change in 1, 0x10000, 0x89ABCDEF:
        yield probe.quoted(probe.rewritten(seq=change))
        # RFC 792 promises of IPv4 what is needed, the identification; RFC 4443 promises the window.
        verdict = probe.quoted if probe.family == 4 else probe.foreign
        yield verdict(probe.least(probe.rewritten(seq=change)))
        if probe.family == 6:
            yield probe.quoted(probe.rewritten(seq=change)[: probe.window_at + 2])
            yield probe.foreign(probe.rewritten(seq=change)[: probe.window_at + 1])


@case
def source(probe):
    """NAT that translates the answer's outer header alone."""
    yield probe.quoted(probe.rewritten(source=True))
    yield probe.quoted(probe.least(probe.rewritten(source=True, our_port=4321)))
    yield probe.quoted(probe.rewritten(source=True, our_port=4321, label=77))


@case
def destination(probe):
    yield probe.quoted(probe.rewritten(destination=True))
    yield probe.quoted(probe.least(probe.rewritten(destination=True, port=7637)))
    yield probe.quoted(probe.rewritten(port=7637))


@case
def label(probe):
    yield probe.quoted(probe.rewritten(label=1))
    yield probe.quoted(probe.least(probe.rewritten(label=0x8000)))


@case
def too_much_rewritten(probe):
    yield probe.foreign(probe.rewritten(seq=1, our_port=1))
    for beyond in LAST_TTL + 1 - probe.ttl, FIRST_TTL - 1 - probe.ttl:
        change = {"label": beyond} if probe.family == 4 else {"window": beyond}
        yield probe.foreign(probe.rewritten(seq=1, **change))
    yield probe.foreign(probe.rewritten(seq=1, label=0x8000))
    yield probe.foreign(probe.rewritten(seq=1, destination=True))
    yield probe.foreign(probe.rewritten(seq=1, port=1))
    yield probe.foreign(probe.rewritten(destination=True, our_port=1))
    yield probe.foreign(probe.rewritten(destination=True, label=1))


@case
def other_protocol(probe):
    at = 9 if probe.family == 4 else 6
    yield probe.foreign(patch(probe.arrived(), at, bytes([17])))


@case
def silent(probe):
    yield from ()


@case
def twice(probe):
    yield probe.quoted(probe.arrived())
    packet, row = probe.quoted(probe.arrived())
    yield packet, row | {"repeat": 1}


@case
def unreachable(probe):
    """Of a code of its own, by the router in place of Time Exceeded."""
    packet, row = probe.quoted(probe.arrived())
    kind_and_code = (3, 13) if probe.family == 4 else (1, 1)
    yield patch(packet, probe.header, bytes(kind_and_code)), row | dict(zip(("icmp_type", "icmp_code"), kind_and_code))


def answers(probe, index):
    if probe.ttl > ROUTERS:
        return [probe.host()]
    return list(CASES[index % len(CASES)](probe))


def targets(family):
    return zmap_rows.addresses(family, 2 * len(CASES))


def answer(family, interface, log_path, pcap_path):
    indices = {address.packed: i for i, address in enumerate(targets(family))}
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    packets.bind((interface, 0))
    packets.settimeout(1)
    end = time.monotonic() + 120
    with open(log_path, "w", buffering=1) as log, open(pcap_path, "wb", buffering=0) as pcap:
        pcap.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))  # raw IP
        print("ready", flush=True)
        while time.monotonic() < end:
            try:
                frame, (_, _, direction, *_) = packets.recvfrom(2048)
            except socket.timeout:
                continue
            syn = good.read_syn(frame) if direction != socket.PACKET_OUTGOING else None
            if syn is None:
                continue
            probe = Probe(syn)
            pcap.write(struct.pack("<IIII", 0, 0, len(probe.packet), len(probe.packet)) + probe.packet)
            found = answers(probe, indices[syn["target"]])
            log.write(json.dumps({"sent": probe.packet.hex(), "expected": [expected for _, expected in found]}) + "\n")
            for packet, _ in found:
                packets.send(frame[6:12] + frame[0:6] + frame[12:14] + packet)


def check_sent(family, sent):
    """Each target once with each TTL, and all that routers balance load by the same for all of them."""
    seen = collections.Counter()
    flows = collections.defaultdict(set)
    for packet in sent:
        probe = Probe({"version": family, "packet": packet})
        target = packet[probe.destination_at : probe.header]
        seen[target, probe.ttl] += 1
        ports = packet[probe.our_port_at : probe.seq_at]
        label, window = probe.label(), number(packet, probe.window_at, 2)
        if family == 4:
            label = (label - probe.ttl) % 2**16
        else:
            window -= probe.ttl
        flows[target].add((ports, label, window, packet[probe.header + 20 :]))
    wanted = {(a.packed, ttl): 1 for a in targets(family) for ttl in range(FIRST_TTL, LAST_TTL + 1)}
    if seen != wanted:
        print(f"sent: {len(seen)} different probes, {seen.total()} in all, expected {len(wanted)}")
    if {len(flow) for flow in flows.values()} != {1}:
        print("a target's probes differ in more than TTL, sequence number and identification or window")


def compare(family, log_path, rows_path, errors_path, metadata_path):
    with open(log_path) as log:
        entries = [json.loads(line) for line in log]
    check_sent(family, [bytes.fromhex(entry["sent"]) for entry in entries])
    rows, reasons, answered = [], collections.Counter(), set()
    for entry in entries:
        for expected in entry["expected"]:
            if isinstance(expected, str):
                reasons[expected] += 1
                continue
            # ZMap's duplicates are answers to the same probe.
            rows.append(expected | {"repeat": int(entry["sent"] in answered)})
            answered.add(entry["sent"])
    with open(rows_path) as lines:
        printed = zmap_rows.read_rows(lines)
    for row in printed:
        del row["cooldown"]
    zmap_rows.compare(rows, printed)

    with open(errors_path) as errors:
        lines = [line for line in errors if line.startswith("mptcp_trace: counts ")]
    with open(metadata_path) as file:
        found = json.load(file) | json.loads(lines[0].split(" ", 2)[2])
    wanted = {
        "received": len(rows) + reasons.total(),
        "invalid": reasons.total(),
        "invalid_by_reason": reasons,
        "success_total": len(rows),
        "success_unique": len(answered),
    }
    if "total_sent" in found:  # ZMap 4 does its own sending
        wanted["packets_sent"] = len(entries)
    for name, value in wanted.items():
        if found.get(name) != value:
            print(f"{name}: {found.get(name)}, expected {value}")


def main():
    command, family, *arguments = sys.argv[1:]
    if command == "targets":
        zmap_rows.write_targets(int(family), arguments[0], len(targets(int(family))), ttls())
    elif command == "answer":
        answer(int(family), *arguments)
    elif command == "compare":
        compare(int(family), *arguments)


if __name__ == "__main__":
    main()
