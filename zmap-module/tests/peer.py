#!/usr/bin/env python3
"""Answers the SYNs that arrive on an interface: peer.py INTERFACE

What it does with a SYN depends on the last three bits of the target's address (KINDS). It
builds its packets by itself, from the RFCs. Checksums are left out: captures carry the
packets as they are. It ends by itself after ten minutes.
"""
import socket
import struct
import sys
import time

PORT = 443
SEQ = 0x89ABCDEF
KEY = bytes.fromhex("0102030405060708")
MSS = bytes.fromhex("02040578")
ROUTER = {4: "203.0.113.1", 6: "2001:db8:ffff::1"}
TTL, IPID, WINDOW = 57, 4711, 64240
KINDS = ("mirror", "host", "reset", "unreachable", "twice", "silent", "strip", "forged")
ETHERTYPES = {4: 0x0800, 6: 0x86DD}
TCP, ICMP = 6, {4: 1, 6: 58}


def options(area):
    """RFC 9293 section 3.1: (kind, whole option), for the well-formed options of our probes."""
    at = 0
    while at < len(area) and area[at] != 0:
        length = 1 if area[at] == 1 else area[at + 1]
        yield area[at], area[at : at + length]
        at += length


def ip_packet(version, source, destination, protocol, payload):
    if version == 4:
        return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), IPID, 0, TTL, protocol, 0) + source + destination + payload
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, TTL) + source + destination + payload


def segment(syn, seq, ack, flags, area=b""):
    area += bytes(-len(area) % 4)
    return struct.pack("!HHIIBBHHH", PORT, syn["port"], seq, ack, (20 + len(area)) // 4 << 4, flags, WINDOW, 0, 0) + area


def host_options(syn):
    """MP_CAPABLE of the SYN's version with a key (RFC 6824 and RFC 8684, section 3.1)."""
    for kind, option in options(syn["options"]):
        if kind == 30:
            version = option[2] & 0xF
            return MSS + bytes([30, 12, version, 0x81 if version == 0 else 0x01]) + KEY
    return MSS


def answers(syn):
    """The IP packets that answer one SYN."""
    back = (syn["version"], syn["target"], syn["source"], TCP)
    ack = (syn["seq"] + 1) % 2**32
    kind = KINDS[syn["target"][-1] % 8]
    if kind == "mirror":
        yield ip_packet(*back, segment(syn, SEQ, ack, 0x12, syn["options"]))
    elif kind == "host":
        yield ip_packet(*back, segment(syn, SEQ, ack, 0x12, host_options(syn)))
    elif kind == "reset":
        yield ip_packet(*back, segment(syn, 0, ack, 0x14))
    elif kind == "unreachable":
        family = socket.AF_INET if syn["version"] == 4 else socket.AF_INET6
        kind_and_code = (3, 13) if syn["version"] == 4 else (1, 1)  # administratively prohibited
        yield ip_packet(
            syn["version"],
            socket.inet_pton(family, ROUTER[syn["version"]]),
            syn["source"],
            ICMP[syn["version"]],
            struct.pack("!BBHI", *kind_and_code, 0, 0) + syn["packet"],
        )
    elif kind == "twice":
        yield from 2 * [ip_packet(*back, segment(syn, SEQ, ack, 0x12, MSS))]
    elif kind == "strip":  # MPTCP, but not what it does not know
        others = b"".join(option for kind, option in options(syn["options"]) if kind == 254)
        yield ip_packet(*back, segment(syn, SEQ, ack, 0x12, MSS + others))
    elif kind == "forged":
        yield ip_packet(*back, segment(syn, SEQ, ack ^ 0x5A5A5A5A, 0x12, MSS))


def read_syn(frame):
    packet = frame[14:]
    version = packet[0] >> 4
    if struct.unpack("!H", frame[12:14])[0] != ETHERTYPES.get(version):
        return None
    protocol, header = (packet[9], 20) if version == 4 else (packet[6], 40)
    if protocol != TCP:
        return None
    tcp = packet[header:]
    port, target_port, seq = struct.unpack("!HHI", tcp[:8])
    if target_port != PORT or tcp[13] != 0x02:
        return None
    addresses = packet[12:20] if version == 4 else packet[8:40]
    half = len(addresses) // 2
    return {
        "version": version,
        "packet": packet,
        "source": addresses[:half],
        "target": addresses[half:],
        "port": port,
        "seq": seq,
        "options": tcp[20 : (tcp[12] >> 4) * 4],
    }


def main():
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    packets.bind((sys.argv[1], 0))
    packets.settimeout(1)
    print("ready", flush=True)
    end = time.monotonic() + 600
    while time.monotonic() < end:
        try:
            frame, (_, _, direction, *_) = packets.recvfrom(2048)
        except socket.timeout:
            continue
        syn = read_syn(frame) if direction != socket.PACKET_OUTGOING else None
        for packet in answers(syn) if syn else ():
            packets.send(frame[6:12] + frame[0:6] + frame[12:14] + packet)


if __name__ == "__main__":
    main()
