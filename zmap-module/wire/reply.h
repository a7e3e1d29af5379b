/*
 * From captured bytes to a reply that surely answers a probe of ours.
 *
 * Every read is bounded by what was captured, by the IP total length and by the header
 * lengths; a packet that was not captured whole is refused, so a short capture can never
 * look like a reply with fewer options. Checksums are not verified: network cards and
 * veth pairs deliver locally made packets with partial ones, and the keyed state is the
 * stronger test. Our own address is not compared either, because ZMap may send from a
 * range of them; port and sequence number together say more.
 */
#ifndef MPCENSUS_REPLY_H
#define MPCENSUS_REPLY_H

#include <stddef.h>
#include <stdint.h>

#include "probe_state.h"
#include "tcp_options.h"

enum reply_status {
	REPLY_ACCEPTED,
	REPLY_NOT_IPV4,
	REPLY_TRUNCATED,      /* captured less than the IP total length */
	REPLY_BAD_IP_LENGTH,  /* total length below the header's */
	REPLY_FRAGMENT,       /* first fragments too: we send DF and answers are short */
	REPLY_OTHER_PROTOCOL, /* neither TCP nor ICMP */
	REPLY_BAD_TCP_HEADER, /* data offset below 5 or beyond the packet */
	REPLY_WRONG_PORT,
	REPLY_WRONG_ACK,
	REPLY_WRONG_FLAGS,
	REPLY_OTHER_ICMP,    /* not destination unreachable */
	REPLY_BAD_QUOTE,     /* shorter than an IPv4 header and 8 bytes */
	REPLY_FOREIGN_QUOTE, /* quotes a packet that we never sent */
};

enum reply_kind {
	REPLY_SYNACK, /* SYN and ACK set, RST not */
	/*
	 * RST and ACK set, acknowledging our SYN. That is what a closed port sends
	 * (RFC 9293 section 3.10.7.1) and all that a client in SYN-SENT may believe
	 * (section 3.10.7.3): an RST without ACK, or one that acknowledges nothing, is
	 * refused.
	 */
	REPLY_RST,
	REPLY_ICMP, /* destination unreachable (RFC 792), quoting our probe */
};

/* Numbers are in host byte order; pointers point into the captured bytes. */
struct reply {
	enum reply_kind kind;
	struct target target;
	uint32_t our_address;
	uint16_t our_port;

	/* REPLY_SYNACK and REPLY_RST */
	uint32_t seq, ack;
	uint16_t window;
	uint8_t tcp_flags;
	const uint8_t *options;
	size_t options_length;
	struct mptcp_facts mptcp;

	/* REPLY_ICMP */
	uint8_t icmp_type, icmp_code;
	uint32_t responder;
	const uint8_t *quote;
	size_t quote_length;
};

/* `packet` starts with the IP header. `reply` is meaningful only if REPLY_ACCEPTED. */
enum reply_status reply_parse(const uint8_t *packet, size_t captured,
			      const struct siphash_key *secret, uint16_t target_port,
			      struct reply *reply);

#endif
