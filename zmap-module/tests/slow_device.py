#!/usr/bin/env python3
"""A network interface whose device is slow: slow_device.py NAME

A TAP interface with a queue of 16 frames, from which 100 frames are read every 20 ms. Ends when its
standard input does, and prints how many IPv4 frames there were.
"""
import fcntl
import os
import select
import struct
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h


def main():
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", sys.argv[1].encode(), IFF_TAP | IFF_NO_PI))
    print("ready", flush=True)
    frames, ended = 0, False
    while True:
        read = 0
        try:
            while read < 100 or ended:
                frame = os.read(device, 2048)
                frames += frame[12:14] == b"\x08\x00"
                read += 1
        except BlockingIOError:
            pass
        if ended:
            break
        time.sleep(0.02)
        ended = bool(select.select([sys.stdin], [], [], 0)[0])
    print(frames)


if __name__ == "__main__":
    main()
