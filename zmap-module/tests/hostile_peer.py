#!/usr/bin/env python3
"""What hostile_test.sh needs beside a shell: a peer that answers each SYN with genuine, forged and
broken packets, and says what must become of every one.

hostile_peer.py targets FAMILY FILE          writes the targets of a scan as a target file, prints the CIDRs
hostile_peer.py addresses                    prints the IPv4 targets as CIDRs
hostile_peer.py answer SCAN INTERFACE LOG    answers; SCAN is direct, or the family of an indexed scan
hostile_peer.py compare LOG ROWS ERRORS METADATA    whether a scan found what LOG says

The target's number (its last 16 bits) chooses the case. Packets are built from the RFCs; what is
expected of them is what wire/reply.h and wire/tcp_options.h promise, written by hand.
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

CASES = []
TARGETS_OF_A_CASE = 3
SYN_ACK, RST_ACK, RST = 0x12, 0x14, 0x04
VLAN_TAG = 0x8100
# Never reaches the module: ZMap's capture filter keeps it out.
FILTERED = None


def case(function):
    CASES.append(function)
    return function


def only(family):
    """For the cases of one family: in the other one their targets answer as genuine hosts do."""
    return lambda function: case(lambda probe: function(probe) if probe.family == family else ())


def patch(packet, at, value):
    return packet[:at] + value + packet[at + len(value) :]


def word(value):
    return struct.pack("!H", value % 2**16)


def length_field(probe, payload):
    return (2, word(20 + payload)) if probe.family == 4 else (4, word(payload))


class Probe:
    """A SYN that came, and how to answer it."""

    packets = 0

    def __init__(self, syn, scan):
        self.syn, self.family = syn, syn["version"]
        self.indexed = scan != "direct"
        self.header = {4: 20, 6: 40}[self.family]
        self.ack = (syn["seq"] + 1) % 2**32
        self.options = dict(good.options(syn["options"]))
        self.seq = None

    def ip(self, payload, protocol=good.TCP, source=None):
        return good.ip_packet(self.family, source or self.syn["target"], self.syn["source"], protocol, payload)

    def tcp(self, flags=SYN_ACK, area=b"", ack=None, port=None, target_port=good.PORT, data=b"", source=None, offset=None):
        """The sequence number of each is its own, and so is its row."""
        Probe.packets += 1
        self.seq = Probe.packets
        to = {"port": self.syn["port"] if port is None else port}
        segment = good.segment(to, self.seq, self.ack if ack is None else ack % 2**32, flags, area)
        segment = patch(segment, 0, word(target_port))
        if offset is not None:
            segment = patch(segment, 12, bytes([offset << 4]))
        return self.ip(segment + data, source=source)

    def icmp(self, kind, quote=None, code=0, second_word=0, source=None):
        quote = self.syn["packet"] if quote is None else quote
        router = source or socket.inet_pton(self.af(), good.ROUTER[self.family])
        return self.ip(struct.pack("!BBHI", kind, code, 0, second_word) + quote, good.ICMP[self.family], router)

    def af(self):
        return socket.AF_INET if self.family == 4 else socket.AF_INET6

    def text(self, address):
        return socket.inet_ntop(self.af(), address)

    def probe_name(self):
        if 30 in self.options:
            return f"v{self.options[30][2] & 0xF}"
        return "canary" if 254 in self.options else "plain"

    def row(self, classification, **fields):
        row = {"saddr": self.text(self.syn["target"]), "daddr": self.text(self.syn["source"]), "ttl": good.TTL}
        row |= {"sport": good.PORT, "dport": self.syn["port"], "probe": self.probe_name()}
        row |= {"classification": classification, "success": int(classification == "synack")}
        if self.family == 4:
            row["ipid"] = good.IPID
        if row["probe"] == "v0":
            row["sent_key"] = self.options[30][4:].hex()
        if 254 in self.options:
            row["sent_canary"] = self.options[254][4:].hex()
        return row | fields

    def tcp_row(self, classification="synack", flags=SYN_ACK, area=b"", canary="none", mptcp="none", **fields):
        """Of the last segment made."""
        area += bytes(-len(area) % 4)
        row = self.row(classification, seqnum=str(self.seq), acknum=str(self.ack), window=good.WINDOW, tcp_flags=flags)
        row |= {"tcp_options": area.hex(), "mptcp": mptcp} | fields
        if 254 in self.options:
            row["canary"] = canary
        return row

    def icmp_row(self, kind, quote, code=0, responder=None):
        responder = good.ROUTER[self.family] if responder is None else self.text(responder)
        return self.row("icmp", icmp_type=kind, icmp_code=code, responder=responder, quote=quote.hex())

    def genuine(self):
        area = good.host_options(self.syn)
        capable = {}
        if 30 in self.options:
            version = self.options[30][2] & 0xF
            capable = {"mptcp": "capable", "mptcp_version": version, "mptcp_flags": area[7], "mptcp_length": 12}
            capable["mptcp_key"] = good.KEY.hex()
        return self.tcp(area=area), self.tcp_row(area=area, **capable)

    def unreachable(self):
        return 3 if self.family == 4 else 1

    def least_quote(self):
        """RFC 792: the IP header and eight bytes."""
        return self.syn["packet"][: self.header + 8]


@case
def kinds_of_answer(probe):
    yield probe.tcp(RST_ACK), probe.tcp_row("rst", RST_ACK)
    yield probe.tcp(0x16), probe.tcp_row("rst", 0x16)
    yield probe.tcp(0x52), probe.tcp_row(flags=0x52)  # ECE (RFC 3168)
    yield probe.tcp(data=b"early"), probe.tcp_row()


@case
def padding_of_the_frame(probe):
    yield probe.tcp(RST_ACK) + bytes(6), probe.tcp_row("rst", RST_ACK)
    yield probe.tcp() + bytes.fromhex("1e0c0001") * 3, probe.tcp_row()


@case
def wrong_flags(probe):
    yield probe.tcp(RST), "wrong-flags"
    for flags in (0x00, 0x01, 0x02, 0x10, 0x11, 0x18):
        yield probe.tcp(flags), FILTERED


@case
def forged_numbers(probe):
    for ack in (probe.ack + 1, probe.ack - 1, probe.ack ^ 0x80000000, 0, 1, 0xFFFFFFFF):
        yield probe.tcp(ack=ack), "wrong-ack"
    yield probe.tcp(RST, ack=0), "wrong-ack"
    yield probe.tcp(port=probe.syn["port"] ^ 1), "wrong-port"
    yield probe.tcp(port=probe.syn["port"] & 0x7FFF), FILTERED
    yield probe.tcp(target_port=444), FILTERED


@case
def flood_of_forged_synacks(probe):
    for i in range(300):
        yield probe.tcp(ack=probe.ack + 1 + i), "wrong-ack"


@case
def state_of_another_target(probe):
    """Port and acknowledgement are right, but for another address."""
    reason = "wrong-address" if probe.indexed else "wrong-port"
    target = probe.syn["target"]
    for source in (patch(target, 3, bytes([target[3] ^ 1])), bytes(len(target)), probe.syn["source"]):
        yield probe.tcp(source=source), reason
        yield probe.tcp(RST_ACK, source=source), reason


@case
def data_offset(probe):
    yield probe.tcp(area=bytes([1]) * 40), probe.tcp_row(area=bytes([1]) * 40)
    for offset in (0, 4, 6, 15):
        yield probe.tcp(offset=offset), "bad-tcp-header"
    yield probe.tcp(offset=15) + bytes(40), "bad-tcp-header"


@case
def broken_options(probe):
    malformed = {"mptcp": "malformed"}
    for area, mptcp in (
        ("02000000", {}),  # length 0
        ("02010101", {}),
        ("02ff0101", {}),  # beyond the header
        ("01010108", {}),  # no length
        ("1e000001", malformed),
        ("1e020101", malformed),
        ("0101011e", malformed),
        ("1eff0081", malformed | {"mptcp_version": 0, "mptcp_flags": 0x81, "mptcp_length": 255}),
        ("1e0c0001", malformed | {"mptcp_version": 0, "mptcp_flags": 1, "mptcp_length": 12}),
        ("001e0c00", {}),  # behind the end of the list
        ("1e041000", {"mptcp": "other"}),
        # The lengths overlap: the MSS swallows the first bytes of an MP_CAPABLE.
        ("0206051e0c0101010101010101010100", {}),
    ):
        area = bytes.fromhex(area)
        yield probe.tcp(area=area), probe.tcp_row(area=area, **mptcp)


@case
def canaries(probe):
    """A reply to a probe without one cannot have altered it."""
    nonce = probe.options[254][4:] if 254 in probe.options else b"none"
    other = bytes(byte ^ 0xFF for byte in nonce)
    for area, canary in (
        (b"\xfe\x08MC" + nonce, "mirrored"),
        (b"\xfe\x08MC" + other, "altered"),
        (b"\xfe\x08MC" + other + b"\xfe\x08MC" + nonce, "altered"),
        (b"\xfe\x0cMC" + nonce + nonce, "altered"),
        (b"\xfe\x04MC", "altered"),
        (b"\xfe\x08MC", "altered"),  # cut short behind the identifier
        (b"\x01\xfe\x08M", "none"),
        (b"\xfe\x08XX" + nonce, "none"),
        (b"\xfd\x08MC" + nonce, "none"),
        (b"\x00\xfe\x08MC" + nonce, "none"),
        (b"\x1e\x0aMC" + nonce + b"\x00\x00", "none"),
    ):
        mptcp = {}
        if area[0] == 30:
            mptcp = {"mptcp": "other"}
        yield probe.tcp(area=area), probe.tcp_row(area=area, canary=canary, **mptcp)


@case
def icmp_errors(probe):
    packet = probe.syn["packet"]
    for kind in (3, 11, 12) if probe.family == 4 else (1, 2, 3, 4):
        yield probe.icmp(kind, code=13), probe.icmp_row(kind, packet, code=13)
        yield probe.icmp(kind, probe.least_quote()), probe.icmp_row(kind, probe.least_quote())
        yield probe.icmp(kind, packet + bytes(3)), probe.icmp_row(kind, packet + bytes(3))
    target = probe.syn["target"]
    yield probe.icmp(probe.unreachable(), source=target), probe.icmp_row(probe.unreachable(), packet, responder=target)


@case
def icmp_that_is_no_error(probe):
    for kind in (0, 4, 5, 8, 13) if probe.family == 4 else (0, 5, 127, 128, 129, 135, 136):
        yield probe.icmp(kind), FILTERED


@case
def icmp_extensions(probe):
    """RFC 4884 section 4: the quote's length in words of 4 bytes (ICMP) or 8 (ICMPv6)."""
    unit, shift = (4, 16) if probe.family == 4 else (8, 24)
    packet = probe.syn["packet"]
    quote = packet + bytes(128 - len(packet))
    extension = struct.pack("!HHHH", 0x2000, 0, 4, 0x0101)
    for kind in (3, 11, 12) if probe.family == 4 else (1, 3):
        stated = probe.icmp(kind, quote + extension, second_word=128 // unit << shift)
        yield stated, probe.icmp_row(kind, quote)
        # More than there is: all that there is.
        lie = probe.icmp(kind, packet, second_word=255 << shift)
        yield lie, probe.icmp_row(kind, packet)
        yield probe.icmp(kind, packet, second_word=1 << shift), "bad-quote"
    if probe.family == 6:
        for kind in (2, 4):  # an MTU, a pointer
            yield probe.icmp(kind, second_word=0x01000000 | 1280), probe.icmp_row(kind, packet)


@case
def icmp_quoting_too_little(probe):
    for length in (0, 1, probe.header, probe.header + 7):
        yield probe.icmp(probe.unreachable(), probe.syn["packet"][:length]), "bad-quote"
    # A message that ends within its own header.
    packet = probe.icmp(probe.unreachable())
    yield patch(packet[: probe.header + 4], *length_field(probe, 4)), "bad-quote"


@case
def icmp_quoting_garbage(probe):
    packet, kind = probe.syn["packet"], probe.unreachable()
    yield probe.icmp(kind, bytes(64)), "bad-quote"
    yield probe.icmp(kind, bytes([0xFF]) * 64), "bad-quote"
    other = 6 if probe.family == 4 else 4
    yield probe.icmp(kind, bytes([other << 4 | 5]) + packet[1:]), "bad-quote"
    yield probe.icmp(kind, probe.icmp(kind)), "foreign-quote"


@case
def icmp_quoting_what_was_never_sent(probe):
    packet, tcp = probe.syn["packet"], probe.header
    destination, protocol = (16, 9) if probe.family == 4 else (24, 6)
    last = destination + len(probe.syn["target"]) - 1
    for at, value in (
        (tcp, word(probe.syn["port"] ^ 1)),
        (tcp + 2, word(444)),
        (tcp + 4, struct.pack("!I", probe.syn["seq"] ^ 1)),
        (tcp + 4, struct.pack("!I", probe.ack)),
        (last, bytes([packet[last] ^ 1])),
        (protocol, bytes([17])),
    ):
        yield probe.icmp(probe.unreachable(), patch(packet, at, value)), "foreign-quote"


@only(4)
def icmp_quoting_ipv4_options(probe):
    packet = probe.syn["packet"]
    for words in (1, 10):
        quote = bytes([0x45 + words]) + packet[1:20] + b"\x01" * 4 * words + packet[20:]
        yield probe.icmp(11, quote), probe.icmp_row(11, quote)
        yield probe.icmp(11, quote[: 27 + 4 * words]), "bad-quote"
    # A header length that reaches behind the quote, and one that is too short for any header.
    yield probe.icmp(11, b"\x4f" + packet[1:40]), "bad-quote"
    yield probe.icmp(11, b"\x44" + packet[1:]), "bad-quote"
    # As some routers quote: hop count spent, checksum gone, length in the other byte order.
    quote = patch(patch(packet, 2, packet[3:1:-1]), 8, b"\x00")
    yield probe.icmp(11, quote), probe.icmp_row(11, quote)


@case
def ip_lengths(probe):
    whole = probe.tcp()
    yield patch(whole, *length_field(probe, 21)), "truncated"
    yield patch(whole, *length_field(probe, 40)), "truncated"
    yield patch(whole, *length_field(probe, 0xFFFF - probe.header)), "truncated"
    yield patch(whole, *length_field(probe, 19)), "bad-tcp-header"
    yield patch(whole, *length_field(probe, 1)), "bad-tcp-header"
    yield patch(whole, *length_field(probe, 0)), "bad-ip-length"
    options = probe.tcp(area=bytes([1]) * 12)
    yield patch(options, *length_field(probe, 28)), "bad-tcp-header"


@case
def longer_than_a_capture(probe):
    yield probe.tcp(data=bytes(1700)), "truncated"
    yield probe.icmp(probe.unreachable(), probe.syn["packet"] + bytes(1700)), "truncated"


@only(4)
def ipv4_header_lengths(probe):
    packet = probe.tcp()
    for words in (1, 10):
        longer = bytes([0x45 + words, 0]) + word(40 + 4 * words) + packet[4:20] + bytes([1]) * 4 * words + packet[20:]
        yield longer, probe.tcp_row()
    # 60 bytes of header on a packet of 40: the frame ends before its ports, or goes on with them.
    yield b"\x4f" + packet[1:], FILTERED
    yield b"\x4f" + packet[1:] + bytes(20) + packet[20:], "bad-ip-length"
    yield b"\x44" + packet[1:], FILTERED
    yield packet[:2] + word(0) + packet[4:], "bad-ip-length"  # as of a segmented one (TSO)


@only(4)
def ipv4_fragments(probe):
    yield patch(probe.tcp(), 6, word(0x2000)), "fragment"
    yield patch(probe.icmp(3), 6, word(0x2000)), "fragment"
    yield patch(probe.tcp(), 6, word(0x0001)), FILTERED
    yield patch(probe.tcp(), 6, word(0x4000)), probe.tcp_row()  # don't fragment


@only(6)
def ipv6_extension_headers(probe):
    for packet in (probe.tcp(), probe.icmp(1)):
        for kind in (0, 43, 44, 50, 51, 59, 60, 135, 139, 140):
            extension = bytes([packet[6], 0]) + bytes(6)
            chained = patch(patch(packet, 4, word(len(packet) - 40 + 8)), 6, bytes([kind]))
            yield chained[:40] + extension + chained[40:], FILTERED


@case
def other_protocols(probe):
    protocol = 9 if probe.family == 4 else 6
    for number in (17, 58 if probe.family == 4 else 1, 253):
        yield patch(probe.tcp(), protocol, bytes([number])), FILTERED


@case
def other_versions(probe):
    for version in (0, 5, 10 - probe.family, 15):
        packet = probe.tcp()
        yield bytes([version << 4 | packet[0] & 0xF]) + packet[1:], "wrong-version"


@case
def other_family(probe):
    """A frame of the other ethertype."""
    yield good.ETHERTYPES[10 - probe.family], probe.tcp(), FILTERED


@case
def vlan_tags(probe):
    """The kernel takes the tag out before it filters, libpcap puts it back before ZMap looks."""
    inner = struct.pack("!H", good.ETHERTYPES[probe.family])
    yield VLAN_TAG, word(5) + inner + probe.tcp(), "wrong-version"
    # Tags that read like the start of an IP header.
    first = {4: 0x4500, 6: 0x6000}[probe.family]
    yield VLAN_TAG, word(first) + inner + probe.tcp(), "truncated"


def answers(syn, scan):
    """(ethertype, packet, what is expected of it), the genuine answer last."""
    number = int.from_bytes(syn["target"][-2:], "big")
    for answer in (*CASES[number % len(CASES)](Probe(syn, scan)), Probe(syn, scan).genuine()):
        yield answer if len(answer) == 3 else (good.ETHERTYPES[syn["version"]], *answer)


def target_count():
    return TARGETS_OF_A_CASE * len(CASES)


def answer_syns(scan, interface, log_path):
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    packets.bind((interface, 0))
    packets.settimeout(1)
    answered = set()
    end = time.monotonic() + 120
    with open(log_path, "w", buffering=1) as log:
        print("ready", flush=True)
        while time.monotonic() < end:
            try:
                frame, (_, _, direction, *_) = packets.recvfrom(2048)
            except socket.timeout:
                continue
            syn = good.read_syn(frame) if direction != socket.PACKET_OUTGOING else None
            if syn is None:
                continue
            for ethertype, packet, expected in answers(syn, scan):
                packets.send(frame[6:12] + frame[0:6] + word(ethertype) + packet)
                if isinstance(expected, dict):
                    # ZMap's duplicates: of targets that have sent a SYN-ACK.
                    expected["repeat"] = int(expected["saddr"] in answered)
                    if expected["success"]:
                        answered.add(expected["saddr"])
                log.write(json.dumps(expected) + "\n")


def read_counts(path):
    with open(path) as errors:
        lines = [line for line in errors if line.startswith("mptcp_synscan: counts ")]
    if len(lines) != 1:
        raise SystemExit(f"lines of counts: {len(lines)}")
    return json.loads(lines[0].split(" ", 2)[2])


def compare(log_path, rows_path, errors_path, metadata_path):
    with open(log_path) as log:
        expected = [json.loads(line) for line in log]
    with open(metadata_path) as file:
        metadata = json.load(file)
    rows = [entry for entry in expected if isinstance(entry, dict)]
    reasons = collections.Counter(entry for entry in expected if isinstance(entry, str))
    found = metadata | read_counts(errors_path)
    with open(rows_path) as lines:
        printed = zmap_rows.read_rows(lines)
    for row in printed:
        del row["cooldown"]
    zmap_rows.compare(rows, printed)

    synacks = sum(row["success"] for row in rows)
    wanted = {
        "packets_sent": target_count(),
        "send_to_failures": 0,
        "received": len(rows) + reasons.total(),
        "pcap_recv": len(rows) + reasons.total(),
        "invalid": reasons.total(),
        "invalid_by_reason": reasons,
        "success_total": synacks,
        "success_unique": target_count(),
        "failure_total": len(rows) - synacks,
        "hitrate": 100,
    }
    for name, value in wanted.items():
        if found.get(name) != value:
            print(f"{name}: {found.get(name)}, expected {value}")


def main():
    command, *arguments = sys.argv[1:]
    if command == "targets":
        zmap_rows.write_targets(int(arguments[0]), arguments[1], target_count())
    elif command == "addresses":
        first = zmap_rows.addresses(4, 1)[0]
        print(*ipaddress.summarize_address_range(first, first + (target_count() - 1)))
    elif command == "answer":
        answer_syns(*arguments)
    elif command == "compare":
        compare(*arguments)


if __name__ == "__main__":
    main()
