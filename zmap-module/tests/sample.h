/*
 * Scans with a fixed secret, and the replies that their targets and a router send. The
 * packets are put together here, byte by byte: nothing of the code under test builds them.
 * Addresses are from the documentation ranges of RFC 5737 and RFC 3849.
 */
#ifndef MPCENSUS_SAMPLE_H
#define MPCENSUS_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "../wire/headers.h"
#include "../wire/probe_state.h"
#include "../wire/scan.h"

#define SAMPLE_MAX_BYTES 256
#define SAMPLE_TARGET_ADDRESS 0xc6336407u /* 198.51.100.7 */
#define SAMPLE_OUR_ADDRESS 0xc0000201u    /* 192.0.2.1 */
#define SAMPLE_ROUTER_ADDRESS 0xcb007101u /* 203.0.113.1 */
#define SAMPLE_TARGET_ADDRESS_6 "2001:db8:1:2:3:4:5:7"
#define SAMPLE_OUR_ADDRESS_6 "2001:db8::1"
#define SAMPLE_ROUTER_ADDRESS_6 "2001:db8:ffff::1"
#define SAMPLE_TARGET_PORT 443
#define SAMPLE_SEQ 0x89abcdefu
#define SAMPLE_WINDOW 65160
#define SAMPLE_TTL 57

/* The target file of the indexed scans; the sample target is in its middle. */
#define SAMPLE_RECORDS 3
#define SAMPLE_INDEX 1

struct siphash_key sample_secret(void);

/* All probe v1, without canary, and with TTL 64; an IPv6 scan is always indexed. */
struct scan sample_direct_scan(void);
struct scan sample_indexed_scan(enum ip_family family);

/* With the TTLs 3 to 9; the sample target is probed with 6. */
struct scan sample_trace(enum ip_family family);

/* 198.51.100.7:443, of a direct scan. */
struct target sample_target(void);

struct target sample_target_of(const struct scan *scan);
struct ip_address sample_our_address(const struct scan *scan);
struct ip_address sample_router_address(const struct scan *scan);

/* Of the IP header of a sample packet: 20 or 40. */
size_t sample_ip_bytes(const struct scan *scan);

/* Both return the packet's length. `packet` has room for SAMPLE_MAX_BYTES. */
size_t sample_tcp(const struct scan *scan, uint8_t *packet, uint8_t flags,
		  const uint8_t *options, size_t length);

/* An error message of the router, quoting the first bytes of a SYN with 4 option bytes. */
size_t sample_icmp(const struct scan *scan, uint8_t *packet, uint8_t type, uint8_t code,
		   size_t quoted_bytes);

#endif
