/*
 * The probe: a SYN, built once as a template; a probe to a target is a copy of it with
 * addresses, label, source port, sequence number, sender's key, canary and checksums.
 */
#ifndef MPCENSUS_SYN_H
#define MPCENSUS_SYN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "headers.h"
#include "probe_state.h"

/* The longest probe: IPv6, and all the options that a TCP header can hold. */
#define SYN_MAX_BYTES (IPV6_HEADER_BYTES + TCP_HEADER_BYTES + 40)

#define SYN_LINUX_TTL 64 /* of a Linux client, and its hop limit */

/*
 * The window of an IPv6 probe: a Linux client's, as many MSS of 1440 bytes as 65535 bytes
 * hold, changed by what its mark (probe_state.h) differs from that client's hop limit.
 */
#define SYN_LINUX_WINDOW_IPV6 64800
static inline uint16_t syn_window_ipv6(uint16_t mark)
{
	return (uint16_t)(SYN_LINUX_WINDOW_IPV6 - SYN_LINUX_TTL + mark);
}

enum probe_kind {
	PROBE_V0,    /* MP_CAPABLE of RFC 6824, with our key */
	PROBE_V1,    /* MP_CAPABLE of RFC 8684, whose SYN carries no key */
	PROBE_PLAIN, /* control: no MP_CAPABLE */
};

enum option_set {
	OPTIONS_LINUX, /* the options of a Linux MPTCP client, in its order */
	OPTIONS_BARE,  /* MP_CAPABLE alone */
};

struct syn_shape {
	enum ip_family family;
	enum probe_kind kind;
	enum option_set options;
	bool canary;
	uint16_t target_port;
	uint32_t ts_value;
	struct ip_address source; /* IPv6 only: an IPv4 scan may send from several */
};

struct syn_template {
	uint8_t packet[SYN_MAX_BYTES];
	size_t length;
	enum ip_family family;
	size_t key_at;            /* offset of the sender's key; 0 if there is none */
	size_t canary_at;         /* offset of the nonce; 0 if there is none */
	uint32_t ip_sum, tcp_sum; /* of the constant part */
};

/* What differs from probe to probe, beside the target. */
struct syn_values {
	uint8_t ttl;     /* IPv6: hop limit */
	uint16_t mark;   /* IPv6: for the window */
	uint32_t source; /* IPv4 */
	struct probe_state state;
	uint64_t key;
	uint32_t canary;
};

struct syn_template syn_template(const struct syn_shape *shape);

/* Writes `syn->length` bytes; `packet` has room for SYN_MAX_BYTES. */
void syn_make(const struct syn_template *syn, uint8_t *packet,
	      const struct target *target, const struct syn_values *values);

#endif
