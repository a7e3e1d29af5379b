/*
 * The probe: an IPv4 SYN, built once as a template; a target changes only addresses, IP
 * identification, source port, sequence number, sender's key and the two checksums.
 */
#ifndef MPCENSUS_SYN_H
#define MPCENSUS_SYN_H

#include <stddef.h>
#include <stdint.h>

#include "headers.h"
#include "probe_state.h"

/* The longest probe: Linux's options (20) and an MP_CAPABLE with key (12). */
#define SYN_MAX_BYTES (IPV4_HEADER_BYTES + TCP_HEADER_BYTES + 32)

enum probe_kind {
	PROBE_V0,    /* MP_CAPABLE of RFC 6824, with our key */
	PROBE_V1,    /* MP_CAPABLE of RFC 8684, whose SYN carries no key */
	PROBE_PLAIN, /* control: no MP_CAPABLE */
};

enum option_set {
	OPTIONS_LINUX, /* the options of a Linux MPTCP client, in its order */
	OPTIONS_BARE,  /* MP_CAPABLE alone */
};

struct syn_template {
	uint8_t packet[SYN_MAX_BYTES];
	size_t length;
	size_t key_at; /* offset of the sender's key; 0 when the probe carries none */
	uint32_t ip_sum, tcp_sum; /* of the constant part */
};

struct syn_template syn_template(enum probe_kind kind, enum option_set options,
				 uint16_t target_port, uint32_t ts_value);

/*
 * Makes `packet`, which holds a copy of the template's bytes or an earlier probe made of
 * it, the probe to `target`. `key` is unused by probes that carry none.
 */
void syn_fill(const struct syn_template *syn, uint8_t *packet, uint32_t source,
	      struct target target, const struct probe_state *state, uint64_t key);

#endif
