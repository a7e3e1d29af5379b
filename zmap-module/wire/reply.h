/*
 * From captured bytes to a reply that surely answers a probe of ours.
 *
 * Every read is bounded by what was captured, by the length in the IP header and by the
 * header lengths; a packet that was not captured whole is refused, so a short capture can
 * never look like a reply with fewer options. Checksums are not verified: network cards and
 * veth pairs deliver locally made packets with partial ones, and the keyed state is the
 * stronger test. Our own address is not compared either, because ZMap may send from a
 * range of them; port and sequence number together say more.
 */
#ifndef MPCENSUS_REPLY_H
#define MPCENSUS_REPLY_H

#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "probe_state.h"
#include "scan.h"
#include "tcp_options.h"

enum reply_status {
	REPLY_ACCEPTED,
	REPLY_WRONG_VERSION,  /* IPv4 in an IPv6 scan, or the other way round */
	REPLY_TRUNCATED,      /* captured less than the IP header says there is */
	REPLY_BAD_IP_LENGTH,  /* a length field below the least that is possible */
	REPLY_FRAGMENT,       /* first fragments too: answers are short */
	REPLY_IPV6_EXTENSION, /* an extension header (RFC 8200 section 4) */
	REPLY_OTHER_PROTOCOL, /* neither TCP nor the family's ICMP */
	REPLY_BAD_TCP_HEADER, /* data offset below 5 or beyond the packet */
	REPLY_WRONG_PORT,
	REPLY_WRONG_ACK,
	REPLY_WRONG_ADDRESS, /* not that of the target with this sequence number */
	REPLY_WRONG_FLAGS,
	REPLY_OTHER_ICMP,    /* no error that a probe can cause */
	REPLY_BAD_QUOTE,     /* shorter than an IP header and 8 bytes */
	REPLY_FOREIGN_QUOTE, /* quotes a packet that we never sent */
	REPLY_STATUS_COUNT,
};

/* As the counts line spells it: "wrong-ack". */
const char *reply_status_name(enum reply_status status);

enum reply_kind {
	REPLY_SYNACK, /* SYN and ACK set, RST not */
	/*
	 * RST and ACK set, acknowledging our SYN. That is what a closed port sends
	 * (RFC 9293 section 3.10.7.1) and all that a client in SYN-SENT may believe
	 * (section 3.10.7.3): an RST without ACK, or one that acknowledges nothing, is
	 * refused.
	 */
	REPLY_RST,
	/*
	 * An error message that quotes our probe: destination unreachable, time exceeded
	 * or parameter problem (RFC 792; RFC 4443, with packet too big).
	 */
	REPLY_ICMP,
};

/* Numbers are in host byte order; pointers point into the captured bytes. */
struct reply {
	enum reply_kind kind;
	struct target target;
	struct ip_address our_address;
	uint16_t our_port;
	uint8_t ttl; /* of the reply itself; IPv6: hop limit */

	/* REPLY_SYNACK and REPLY_RST */
	uint32_t seq, ack;
	uint16_t window;
	uint8_t tcp_flags;
	const uint8_t *options;
	size_t options_length;
	struct mptcp_facts mptcp;
	enum canary_presence canary; /* CANARY_NONE if the scan sends none */

	/* REPLY_ICMP */
	uint8_t icmp_type, icmp_code;
	struct ip_address responder;
	const uint8_t *quote;
	size_t quote_length;
};

/* `packet` starts with the IP header. `reply` is meaningful only if REPLY_ACCEPTED. */
enum reply_status reply_parse(const struct scan *scan, const uint8_t *packet,
			      size_t captured, struct reply *reply);

#endif
