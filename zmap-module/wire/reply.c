#include "reply.h"

#include <string.h>

#include "cursor.h"
#include "headers.h"
#include "quote.h"

#define IPV6_EXTENSION_FRAGMENT 44 /* RFC 8200 section 4.5 */

const char *reply_status_name(enum reply_status status)
{
	static const char *const names[] = {
	    [REPLY_ACCEPTED] = "accepted",
	    [REPLY_WRONG_VERSION] = "wrong-version",
	    [REPLY_TRUNCATED] = "truncated",
	    [REPLY_BAD_IP_LENGTH] = "bad-ip-length",
	    [REPLY_FRAGMENT] = "fragment",
	    [REPLY_IPV6_EXTENSION] = "ipv6-extension",
	    [REPLY_OTHER_PROTOCOL] = "other-protocol",
	    [REPLY_BAD_TCP_HEADER] = "bad-tcp-header",
	    [REPLY_WRONG_PORT] = "wrong-port",
	    [REPLY_WRONG_ACK] = "wrong-ack",
	    [REPLY_WRONG_ADDRESS] = "wrong-address",
	    [REPLY_WRONG_FLAGS] = "wrong-flags",
	    [REPLY_OTHER_ICMP] = "other-icmp",
	    [REPLY_BAD_QUOTE] = "bad-quote",
	    [REPLY_FOREIGN_QUOTE] = "foreign-quote",
	};

	return names[status];
}

struct ip_header {
	size_t length;       /* with IPv4 options */
	size_t total_length; /* of the packet, as the header says */
	uint32_t label;      /* IPv4 identification, IPv6 flow label */
	bool fragment;
	uint8_t ttl;
	uint8_t protocol; /* IPv6: next header */
	struct ip_address source, destination;
};

/* RFC 791 section 3.1 */
static enum reply_status read_ipv4_header(struct cursor *packet, struct ip_header *ip)
{
	ip->length = (cursor_u8(packet) & 0xfu) * 4u;
	cursor_take(packet, 1); /* type of service */
	ip->total_length = cursor_u16(packet);
	ip->label = cursor_u16(packet);
	ip->fragment = (cursor_u16(packet) & IPV4_FRAGMENT_MASK) != 0;
	ip->ttl = cursor_u8(packet);
	ip->protocol = cursor_u8(packet);
	cursor_take(packet, 2); /* checksum */
	ip->source = ip_address_4(cursor_u32(packet));
	ip->destination = ip_address_4(cursor_u32(packet));
	if (packet->overrun)
		return REPLY_TRUNCATED;
	if (ip->length < IPV4_HEADER_BYTES)
		return REPLY_BAD_IP_LENGTH;
	cursor_take(packet, ip->length - IPV4_HEADER_BYTES);
	return packet->overrun ? REPLY_TRUNCATED : REPLY_ACCEPTED;
}

static struct ip_address read_ipv6_address(struct cursor *packet)
{
	struct ip_address address = {.family = IP_FAMILY_6};

	address.high = cursor_u64(packet);
	address.low = cursor_u64(packet);
	return address;
}

/* RFC 8200 section 3 */
static enum reply_status read_ipv6_header(struct cursor *packet, struct ip_header *ip)
{
	/* Above the flow label are version and traffic class. */
	ip->label = cursor_u32(packet) & label_mask(IP_FAMILY_6);
	ip->length = IPV6_HEADER_BYTES;
	ip->total_length = IPV6_HEADER_BYTES + cursor_u16(packet);
	ip->protocol = cursor_u8(packet);
	ip->fragment = ip->protocol == IPV6_EXTENSION_FRAGMENT;
	ip->ttl = cursor_u8(packet);
	ip->source = read_ipv6_address(packet);
	ip->destination = read_ipv6_address(packet);
	return packet->overrun ? REPLY_TRUNCATED : REPLY_ACCEPTED;
}

/* Leaves the cursor behind the header and its IPv4 options. */
static enum reply_status read_ip_header(enum ip_family family, struct cursor *packet,
					struct ip_header *ip)
{
	struct cursor start = *packet;
	unsigned version = cursor_u8(&start) >> 4;

	if (start.overrun)
		return REPLY_TRUNCATED;
	if (version != (unsigned)family)
		return REPLY_WRONG_VERSION;
	return family == IP_FAMILY_4 ? read_ipv4_header(packet, ip)
				     : read_ipv6_header(packet, ip);
}

/* Leaves in the cursor what the IP header says there is behind it. */
static enum reply_status read_packet_header(enum ip_family family, struct cursor *packet,
					    struct ip_header *ip)
{
	enum reply_status status = read_ip_header(family, packet, ip);

	if (status != REPLY_ACCEPTED)
		return status;
	/* An IPv6 jumbogram has a payload length of 0 (RFC 2675): no answer is one. */
	if (ip->total_length <= ip->length)
		return REPLY_BAD_IP_LENGTH;
	if (packet->left < ip->total_length - ip->length)
		return REPLY_TRUNCATED;
	if (ip->fragment)
		return REPLY_FRAGMENT;
	/* Behind the total length there may be Ethernet padding. */
	packet->left = ip->total_length - ip->length;
	return REPLY_ACCEPTED;
}

static enum reply_status classify_flags(uint8_t flags, enum reply_kind *kind)
{
	if ((flags & TCP_FLAG_ACK) == 0)
		return REPLY_WRONG_FLAGS;
	if ((flags & TCP_FLAG_RST) != 0)
		*kind = REPLY_RST;
	else if ((flags & TCP_FLAG_SYN) != 0)
		*kind = REPLY_SYNACK;
	else
		return REPLY_WRONG_FLAGS;
	return REPLY_ACCEPTED;
}

static enum reply_status recognise(const struct scan *scan, struct ip_address address,
				   uint16_t port, struct reply *reply)
{
	/* What we sent is acknowledged with the SYN counted (RFC 9293 section 3.4). */
	switch (scan_recognise(scan, address, port, reply->our_port, reply->ack - 1,
			       &reply->target)) {
	case SCAN_OURS:
		return REPLY_ACCEPTED;
	case SCAN_WRONG_PORT:
		return REPLY_WRONG_PORT;
	case SCAN_WRONG_SEQ:
		return REPLY_WRONG_ACK;
	case SCAN_WRONG_ADDRESS:
		break;
	}
	return REPLY_WRONG_ADDRESS;
}

static void read_options(const struct scan *scan, struct reply *reply)
{
	reply->mptcp = tcp_options_find_mptcp(reply->options, reply->options_length);
	if (scan_sends_canary(scan))
		reply->canary =
		    tcp_options_find_canary(reply->options, reply->options_length,
					    scan_sent_canary(scan, &reply->target));
}

static enum reply_status parse_tcp(const struct scan *scan, const struct ip_header *ip,
				   struct cursor segment, struct reply *reply)
{
	uint16_t target_port = cursor_u16(&segment);
	enum reply_status status;
	size_t header_bytes;

	reply->our_address = ip->destination;
	reply->our_port = cursor_u16(&segment);
	reply->seq = cursor_u32(&segment);
	reply->ack = cursor_u32(&segment);
	header_bytes = (cursor_u8(&segment) >> 4) * 4u; /* data offset */
	reply->tcp_flags = cursor_u8(&segment);
	reply->window = cursor_u16(&segment);
	cursor_take(&segment, 4); /* checksum, urgent pointer */
	if (segment.overrun || header_bytes < TCP_HEADER_BYTES)
		return REPLY_BAD_TCP_HEADER;
	reply->options_length = header_bytes - TCP_HEADER_BYTES;
	reply->options = cursor_take(&segment, reply->options_length);
	if (segment.overrun)
		return REPLY_BAD_TCP_HEADER;

	status = recognise(scan, ip->source, target_port, reply);
	if (status != REPLY_ACCEPTED)
		return status;
	read_options(scan, reply);
	return classify_flags(reply->tcp_flags, &reply->kind);
}

/*
 * RFC 792 promises the IP header and eight bytes: ports and sequence number, all that
 * names a probe; RFC 4443 promises more, but no router is believed for it. Routers rewrite
 * the rest of the header, and some put its fields into their own byte order.
 */
static enum reply_status parse_quote(const struct scan *scan, struct cursor quoted,
				     struct reply *reply)
{
	struct ip_header ip;
	struct quote quote;

	if (read_ip_header(scan->family, &quoted, &ip) != REPLY_ACCEPTED)
		return REPLY_BAD_QUOTE;
	quote.destination = ip.destination;
	quote.label = ip.label;
	quote.our_port = cursor_u16(&quoted);
	quote.port = cursor_u16(&quoted);
	quote.seq = cursor_u32(&quoted);
	if (quoted.overrun)
		return REPLY_BAD_QUOTE;
	cursor_take(&quoted, 6); /* acknowledgement number, data offset, flags */
	quote.window = cursor_u16(&quoted);
	quote.has_window = !quoted.overrun;
	if (ip.protocol != IP_PROTOCOL_TCP ||
	    !quote_recognise(scan, &quote, &reply->target))
		return REPLY_FOREIGN_QUOTE;
	/* As it was sent: the quote may have it from behind a NAT. */
	reply->our_port = scan_probe_state(scan, &reply->target).source_port;
	return REPLY_ACCEPTED;
}

static bool is_icmp_error(enum ip_family family, uint8_t type)
{
	if (family == IP_FAMILY_4)
		return type == ICMP_DESTINATION_UNREACHABLE ||
		       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
	return type >= ICMPV6_DESTINATION_UNREACHABLE && type <= ICMPV6_PARAMETER_PROBLEM;
}

/*
 * The length of a quote that extensions follow (RFC 4884 section 4), from the second word
 * of the message; 0 if it does not say.
 */
static size_t stated_quote_bytes(enum ip_family family, uint8_t type, uint32_t word)
{
	if (family == IP_FAMILY_4)
		return (word >> 16 & 0xff) * 4u;
	if (type == ICMPV6_DESTINATION_UNREACHABLE || type == ICMPV6_TIME_EXCEEDED)
		return (word >> 24) * 8u;
	return 0; /* the word is the MTU, or a pointer */
}

static enum reply_status parse_icmp(const struct scan *scan, const struct ip_header *ip,
				    struct cursor message, struct reply *reply)
{
	size_t stated;

	reply->kind = REPLY_ICMP;
	reply->responder = ip->source;
	reply->our_address = ip->destination;
	reply->icmp_type = cursor_u8(&message);
	reply->icmp_code = cursor_u8(&message);
	if (!is_icmp_error(scan->family, reply->icmp_type))
		return REPLY_OTHER_ICMP;
	cursor_take(&message, 2); /* checksum */
	stated = stated_quote_bytes(scan->family, reply->icmp_type, cursor_u32(&message));
	if (message.overrun)
		return REPLY_BAD_QUOTE;
	if (stated != 0 && stated < message.left)
		message.left = stated;
	reply->quote = message.next;
	reply->quote_length = message.left;
	return parse_quote(scan, message, reply);
}

/* Of those that IANA lists as "IPv6 Extension Header Types", all but the fragment's. */
static bool is_ipv6_extension(uint8_t next_header)
{
	static const uint8_t others[] = {0, 43, 50, 51, 60, 135, 139, 140, 253, 254};

	return memchr(others, next_header, sizeof others) != NULL;
}

enum reply_status reply_parse(const struct scan *scan, const uint8_t *packet,
			      size_t captured, struct reply *reply)
{
	struct cursor cursor = cursor_over(packet, captured);
	uint8_t icmp =
	    scan->family == IP_FAMILY_4 ? IP_PROTOCOL_ICMP : IP_PROTOCOL_ICMPV6;
	struct ip_header ip;
	enum reply_status status = read_packet_header(scan->family, &cursor, &ip);

	memset(reply, 0, sizeof *reply);
	if (status != REPLY_ACCEPTED)
		return status;
	reply->ttl = ip.ttl;
	if (ip.protocol == IP_PROTOCOL_TCP)
		return parse_tcp(scan, &ip, cursor, reply);
	if (ip.protocol == icmp)
		return parse_icmp(scan, &ip, cursor, reply);
	if (scan->family == IP_FAMILY_6 && is_ipv6_extension(ip.protocol))
		return REPLY_IPV6_EXTENSION;
	return REPLY_OTHER_PROTOCOL;
}
