#include "reply.h"

#include <string.h>

#include "cursor.h"
#include "headers.h"

struct ipv4_header {
	size_t length; /* with options */
	uint16_t total_length;
	uint16_t fragment;
	uint8_t protocol;
	uint32_t source, destination;
};

/* Leaves the cursor behind the header and its options. */
static enum reply_status read_ipv4_header(struct cursor *packet, struct ipv4_header *ip)
{
	uint8_t version_and_length = cursor_u8(packet);

	ip->length = (version_and_length & 0xfu) * 4u;
	cursor_take(packet, 1); /* type of service */
	ip->total_length = cursor_u16(packet);
	cursor_take(packet, 2); /* identification */
	ip->fragment = cursor_u16(packet);
	cursor_take(packet, 1); /* time to live */
	ip->protocol = cursor_u8(packet);
	cursor_take(packet, 2); /* checksum */
	ip->source = cursor_u32(packet);
	ip->destination = cursor_u32(packet);
	if (packet->overrun)
		return REPLY_TRUNCATED;
	if (version_and_length >> 4 != 4 || ip->length < IPV4_HEADER_BYTES)
		return REPLY_NOT_IPV4;
	cursor_take(packet, ip->length - IPV4_HEADER_BYTES);
	return packet->overrun ? REPLY_TRUNCATED : REPLY_ACCEPTED;
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

static enum reply_status parse_tcp(const struct ipv4_header *ip, struct cursor segment,
				   const struct siphash_key *secret, uint16_t target_port,
				   struct reply *reply)
{
	struct probe_state sent;
	uint8_t data_offset;
	size_t header_bytes;

	reply->target =
	    (struct target){.address = ip->source, .port = cursor_u16(&segment)};
	reply->our_address = ip->destination;
	reply->our_port = cursor_u16(&segment);
	reply->seq = cursor_u32(&segment);
	reply->ack = cursor_u32(&segment);
	data_offset = cursor_u8(&segment) >> 4;
	reply->tcp_flags = cursor_u8(&segment);
	reply->window = cursor_u16(&segment);
	cursor_take(&segment, 4); /* checksum, urgent pointer */
	header_bytes = data_offset * 4u;
	if (segment.overrun || header_bytes < TCP_HEADER_BYTES)
		return REPLY_BAD_TCP_HEADER;
	reply->options_length = header_bytes - TCP_HEADER_BYTES;
	reply->options = cursor_take(&segment, reply->options_length);
	if (segment.overrun)
		return REPLY_BAD_TCP_HEADER;

	if (reply->target.port != target_port)
		return REPLY_WRONG_PORT;
	sent = probe_state(secret, reply->target);
	if (reply->our_port != sent.source_port)
		return REPLY_WRONG_PORT;
	if (reply->ack != sent.seq + 1)
		return REPLY_WRONG_ACK;
	reply->mptcp = tcp_options_find_mptcp(reply->options, reply->options_length);
	return classify_flags(reply->tcp_flags, &reply->kind);
}

/*
 * RFC 792 promises the IP header and eight bytes: ports and sequence number, all that
 * names a probe. Routers rewrite the rest of the header, and some put its fields into
 * their own byte order.
 */
static enum reply_status parse_quote(struct cursor quote,
				     const struct siphash_key *secret,
				     uint16_t target_port, struct reply *reply)
{
	struct ipv4_header ip;
	struct probe_state sent;
	uint32_t seq;

	if (read_ipv4_header(&quote, &ip) != REPLY_ACCEPTED)
		return REPLY_BAD_QUOTE;
	reply->our_address = ip.source;
	reply->our_port = cursor_u16(&quote);
	reply->target =
	    (struct target){.address = ip.destination, .port = cursor_u16(&quote)};
	seq = cursor_u32(&quote);
	if (quote.overrun)
		return REPLY_BAD_QUOTE;

	sent = probe_state(secret, reply->target);
	if (ip.protocol != IPV4_PROTOCOL_TCP || reply->target.port != target_port ||
	    reply->our_port != sent.source_port || seq != sent.seq)
		return REPLY_FOREIGN_QUOTE;
	return REPLY_ACCEPTED;
}

static enum reply_status parse_icmp(const struct ipv4_header *ip, struct cursor message,
				    const struct siphash_key *secret,
				    uint16_t target_port, struct reply *reply)
{
	uint8_t quoted_words;

	reply->kind = REPLY_ICMP;
	reply->responder = ip->source;
	reply->icmp_type = cursor_u8(&message);
	reply->icmp_code = cursor_u8(&message);
	if (reply->icmp_type != ICMP_DESTINATION_UNREACHABLE)
		return REPLY_OTHER_ICMP;
	cursor_take(&message, 3); /* checksum, unused */
	quoted_words = cursor_u8(&message);
	cursor_take(&message, 2); /* unused, or the next hop's MTU */
	if (message.overrun)
		return REPLY_BAD_QUOTE;
	/* RFC 4884 section 4.1: extensions follow a quote that states its length. */
	if (quoted_words != 0 && quoted_words * 4u < message.left)
		message.left = quoted_words * 4u;
	reply->quote = message.next;
	reply->quote_length = message.left;
	return parse_quote(message, secret, target_port, reply);
}

enum reply_status reply_parse(const uint8_t *packet, size_t captured,
			      const struct siphash_key *secret, uint16_t target_port,
			      struct reply *reply)
{
	struct cursor cursor = cursor_over(packet, captured);
	struct ipv4_header ip;
	enum reply_status status = read_ipv4_header(&cursor, &ip);

	memset(reply, 0, sizeof *reply);
	if (status != REPLY_ACCEPTED)
		return status;
	if (ip.total_length < ip.length)
		return REPLY_BAD_IP_LENGTH;
	if (captured < ip.total_length)
		return REPLY_TRUNCATED;
	if ((ip.fragment & IPV4_FRAGMENT_MASK) != 0)
		return REPLY_FRAGMENT;

	/* Behind the total length there may be Ethernet padding. */
	cursor.left = ip.total_length - ip.length;
	if (ip.protocol == IPV4_PROTOCOL_TCP)
		return parse_tcp(&ip, cursor, secret, target_port, reply);
	if (ip.protocol == IPV4_PROTOCOL_ICMP)
		return parse_icmp(&ip, cursor, secret, target_port, reply);
	return REPLY_OTHER_PROTOCOL;
}
