#include "../wire/reply.h"

#include "../wire/store.h"
#include "check.h"
#include "sample.h"

/* MSS, then MP_CAPABLE v1 with flags 01 and a key (RFC 8684 section 3.1, figure 4). */
static const uint8_t synack_options[] = {0x02, 0x04, 0x05, 0xb4, 0x1e, 0x0c, 0x01, 0x01,
					 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

#define SYNACK (TCP_FLAG_SYN | TCP_FLAG_ACK)
#define RSTACK (TCP_FLAG_RST | TCP_FLAG_ACK)

/* The scan that the tests run in, one after the other. */
static const struct scan *scan;
static const char *scan_name;

/* Names the case and the scan, until it is called again. */
static const char *in_scan(const char *what)
{
	static char text[128];

	snprintf(text, sizeof text, "%s: %s", scan_name, what);
	return text;
}

static bool is_ipv6(void)
{
	return scan->family == IP_FAMILY_6;
}

static bool is_indexed(void)
{
	return scan->targets.count > 0;
}

/* Where the TCP or ICMP header, the quoted packet and its TCP header are. */
static size_t at_payload(void)
{
	return sample_ip_bytes(scan);
}

static size_t at_quote(void)
{
	return at_payload() + 8;
}

static size_t at_quoted_tcp(void)
{
	return at_quote() + sample_ip_bytes(scan);
}

/* The whole probe; and what RFC 792 promises of it. */
static size_t whole_quote(void)
{
	return sample_ip_bytes(scan) + 24;
}

static size_t least_quote(void)
{
	return sample_ip_bytes(scan) + 8;
}

static uint8_t unreachable(void)
{
	return is_ipv6() ? 1 : 3;
}

/* Sets the length field so that `payload` bytes follow the IP header. */
static void set_payload_length(uint8_t *packet, size_t payload)
{
	if (is_ipv6())
		store_u16(packet + 4, (uint16_t)payload);
	else
		store_u16(packet + 2, (uint16_t)(20 + payload));
}

/* The bytes lie in memory of exactly that size, so that overreads are seen. */
static enum reply_status parse_in(const struct scan *of, const uint8_t *packet,
				  size_t captured, struct reply *reply)
{
	uint8_t *copy = malloc(captured > 0 ? captured : 1);
	enum reply_status status;

	memcpy(copy, packet, captured);
	status = reply_parse(of, copy, captured, reply);
	/* Pointers into `copy` must not outlive it: what follows reads the original. */
	if (reply->options != NULL)
		reply->options = packet + (reply->options - copy);
	if (reply->quote != NULL)
		reply->quote = packet + (reply->quote - copy);
	free(copy);
	return status;
}

static enum reply_status parse(const uint8_t *packet, size_t captured,
			       struct reply *reply)
{
	return parse_in(scan, packet, captured, reply);
}

static enum reply_status status_of(const uint8_t *packet, size_t captured)
{
	struct reply reply;

	return parse(packet, captured, &reply);
}

static size_t good_synack(uint8_t *packet)
{
	return sample_tcp(scan, packet, SYNACK, synack_options, sizeof synack_options);
}

static size_t good_rst(uint8_t *packet)
{
	return sample_tcp(scan, packet, RSTACK, NULL, 0);
}

static size_t good_icmp(uint8_t *packet)
{
	return sample_icmp(scan, packet, unreachable(), 1, whole_quote());
}

static void check_target(const struct reply *reply)
{
	struct target target = sample_target_of(scan);

	CHECK(ip_address_equal(reply->target.address, target.address));
	CHECK_EQ(in_scan("target"), reply->target.port, target.port);
	CHECK_EQ(in_scan("target"), reply->target.index, target.index);
	CHECK(ip_address_equal(reply->our_address, sample_our_address(scan)));
	CHECK_EQ(in_scan("target"), reply->our_port,
		 scan_probe_state(scan, &target).source_port);
}

static void check_synack(const struct reply *reply, const uint8_t *packet)
{
	struct target target = sample_target_of(scan);

	check_target(reply);
	CHECK_EQ(in_scan("synack"), reply->kind, REPLY_SYNACK);
	CHECK_EQ(in_scan("synack"), reply->ttl, SAMPLE_TTL);
	CHECK_EQ(in_scan("synack"), reply->seq, SAMPLE_SEQ);
	CHECK_EQ(in_scan("synack"), reply->ack, scan_probe_state(scan, &target).seq + 1);
	CHECK_EQ(in_scan("synack"), reply->window, SAMPLE_WINDOW);
	CHECK_EQ(in_scan("synack"), reply->tcp_flags, SYNACK);
	CHECK_EQ(in_scan("synack"), reply->options_length, sizeof synack_options);
	CHECK(reply->options == packet + at_payload() + 20);
	CHECK_EQ(in_scan("synack"), reply->mptcp.presence, MPTCP_CAPABLE);
	CHECK_EQ(in_scan("synack"), reply->mptcp.key, 0x0123456789abcdef);
	CHECK_EQ(in_scan("synack"), reply->canary, CANARY_NONE);
}

static void test_synack(void)
{
	uint8_t packet[SAMPLE_MAX_BYTES] = {0};
	struct reply reply;
	size_t length = good_synack(packet);

	CHECK_EQ(in_scan("synack"), parse(packet, length, &reply), REPLY_ACCEPTED);
	check_synack(&reply, packet);
	/* Ethernet padding behind the IP packet's end is not the packet's. */
	CHECK_EQ(in_scan("padded"), parse(packet, length + 6, &reply), REPLY_ACCEPTED);
	check_synack(&reply, packet);
}

static void test_rst(void)
{
	uint8_t packet[SAMPLE_MAX_BYTES];
	struct reply reply;
	size_t length = good_rst(packet);

	CHECK_EQ(in_scan("rst"), parse(packet, length, &reply), REPLY_ACCEPTED);
	check_target(&reply);
	CHECK_EQ(in_scan("rst"), reply.kind, REPLY_RST);
	CHECK_EQ(in_scan("rst"), reply.mptcp.presence, MPTCP_NONE);
	CHECK_EQ(in_scan("rst"), reply.options_length, 0);
}

static void test_canary(void)
{
	struct scan sending = *scan;
	struct target target = sample_target_of(scan);
	uint8_t options[] = {0xfe, 8, 'M', 'C', 0, 0, 0, 0};
	uint8_t packet[SAMPLE_MAX_BYTES];
	struct reply reply;
	size_t length;

	sending.args.canary = true;
	store_u32(options + 4, scan_sent_canary(&sending, &target));
	length = sample_tcp(scan, packet, SYNACK, options, sizeof options);
	CHECK_EQ(in_scan("canary"), parse_in(&sending, packet, length, &reply),
		 REPLY_ACCEPTED);
	CHECK_EQ(in_scan("canary"), reply.canary, CANARY_MIRRORED);

	packet[length - 1] ^= 1;
	CHECK_EQ(in_scan("canary"), parse_in(&sending, packet, length, &reply),
		 REPLY_ACCEPTED);
	CHECK_EQ(in_scan("other nonce"), reply.canary, CANARY_ALTERED);

	/* Whoever was sent none cannot have altered it. */
	CHECK_EQ(in_scan("none sent"), parse(packet, length, &reply), REPLY_ACCEPTED);
	CHECK_EQ(in_scan("none sent"), reply.canary, CANARY_NONE);
}

static void check_icmp(const struct reply *reply, const uint8_t *packet, size_t quoted)
{
	check_target(reply);
	CHECK_EQ(in_scan("icmp"), reply->kind, REPLY_ICMP);
	CHECK(ip_address_equal(reply->responder, sample_router_address(scan)));
	CHECK_EQ(in_scan("icmp"), reply->ttl, SAMPLE_TTL);
	CHECK_EQ(in_scan("icmp"), reply->quote_length, quoted);
	CHECK(reply->quote == packet + at_quote());
}

/* Every type: the errors of RFC 792 that a SYN can cause, those of RFC 4443. */
static void test_icmp_types(void)
{
	for (unsigned type = 0; type < 256; type++) {
		bool is_error = is_ipv6() ? type >= 1 && type <= 4
					  : type == 3 || type == 11 || type == 12;
		uint8_t packet[SAMPLE_MAX_BYTES];
		struct reply reply;
		size_t length =
		    sample_icmp(scan, packet, (uint8_t)type, 13, whole_quote());

		CHECK_EQ(in_scan("icmp type"), parse(packet, length, &reply),
			 is_error ? REPLY_ACCEPTED : REPLY_OTHER_ICMP);
		if (!is_error)
			continue;
		check_icmp(&reply, packet, whole_quote());
		CHECK_EQ(in_scan("icmp"), reply.icmp_type, type);
		CHECK_EQ(in_scan("icmp"), reply.icmp_code, 13);
	}
}

static void test_icmp_quote_lengths(void)
{
	uint8_t packet[SAMPLE_MAX_BYTES];
	struct reply reply;
	size_t length;

	for (size_t quoted = 0; quoted <= whole_quote(); quoted++) {
		bool enough = quoted >= least_quote();

		length = sample_icmp(scan, packet, unreachable(), 0, quoted);
		CHECK_EQ(in_scan("quote"), parse(packet, length, &reply),
			 enough ? REPLY_ACCEPTED : REPLY_BAD_QUOTE);
		if (enough)
			check_icmp(&reply, packet, quoted);
	}
	for (size_t icmp_bytes = 0; icmp_bytes < 8; icmp_bytes++) {
		length = good_icmp(packet);
		set_payload_length(packet, icmp_bytes);
		CHECK(status_of(packet, length) != REPLY_ACCEPTED);
	}
}

/*
 * RFC 4884 section 4: extensions may follow a quote that states its length, in words of
 * 4 bytes in the sixth byte of an ICMP message, of 8 in the fifth of an ICMPv6 message.
 */
static void test_icmp_extensions(void)
{
	static const uint8_t stating_4[] = {3, 11, 12}, stating_6[] = {1, 3};
	const uint8_t *types = is_ipv6() ? stating_6 : stating_4;
	size_t count = is_ipv6() ? sizeof stating_6 : sizeof stating_4;
	size_t at = at_payload() + (is_ipv6() ? 4 : 5);
	size_t unit = is_ipv6() ? 8 : 4;
	uint8_t packet[SAMPLE_MAX_BYTES];
	struct reply reply;

	for (size_t i = 0; i < count; i++) {
		size_t length = sample_icmp(scan, packet, types[i], 0, whole_quote());

		for (unsigned words = 0; words < 256; words++) {
			size_t stated = words * unit;
			size_t quoted =
			    words == 0 || stated > whole_quote() ? whole_quote() : stated;
			bool enough = quoted >= least_quote();

			packet[at] = (uint8_t)words;
			CHECK_EQ(in_scan("stated length"), parse(packet, length, &reply),
				 enough ? REPLY_ACCEPTED : REPLY_BAD_QUOTE);
			if (enough)
				check_icmp(&reply, packet, quoted);
		}
	}
}

/* In ICMPv6 packet too big (2) and parameter problem (4) these bytes state no length. */
static void test_icmpv6_mtu_and_pointer(void)
{
	for (uint8_t type = 2; type <= 4; type += 2) {
		uint8_t packet[SAMPLE_MAX_BYTES];
		struct reply reply;
		size_t length = sample_icmp(scan, packet, type, 0, whole_quote());

		store_u32(packet + at_payload() + 4, 0x01010101);
		CHECK_EQ(in_scan("mtu"), parse(packet, length, &reply), REPLY_ACCEPTED);
		check_icmp(&reply, packet, whole_quote());
	}
}

/* Cut anywhere, a good reply is refused: never accepted with fewer facts. */
static void test_every_prefix(void)
{
	uint8_t packets[3][SAMPLE_MAX_BYTES];
	size_t lengths[3];

	lengths[0] = good_synack(packets[0]);
	lengths[1] = good_rst(packets[1]);
	lengths[2] = good_icmp(packets[2]);
	for (int i = 0; i < 3; i++) {
		for (size_t captured = 0; captured < lengths[i]; captured++)
			CHECK_EQ(in_scan("prefix"), status_of(packets[i], captured),
				 REPLY_TRUNCATED);
	}
}

/* Every value of the IP length field, of a packet that is captured whole. */
static void test_every_ip_length(void)
{
	uint8_t packet[SAMPLE_MAX_BYTES];
	size_t length = good_synack(packet);
	size_t header = is_ipv6() ? 0 : 20; /* what the field counts of the IP header */
	size_t payload = length - sample_ip_bytes(scan);

	for (size_t field = 0; field <= UINT16_MAX; field++) {
		enum reply_status expected = REPLY_ACCEPTED;

		if (field <= header) /* IPv6: 0 would be a jumbogram */
			expected = REPLY_BAD_IP_LENGTH;
		else if (field < header + payload)
			expected = REPLY_BAD_TCP_HEADER;
		else if (field > header + payload)
			expected = REPLY_TRUNCATED;
		store_u16(packet + (is_ipv6() ? 4 : 2), (uint16_t)field);
		CHECK_EQ(in_scan("IP length"), status_of(packet, length), expected);
	}
}

static void test_every_data_offset(void)
{
	for (unsigned words = 0; words < 16; words++) {
		uint8_t packet[SAMPLE_MAX_BYTES];
		struct reply reply;
		size_t length = good_synack(packet);
		bool fits = words >= 5 && words <= 5 + sizeof synack_options / 4;

		packet[at_payload() + 12] = (uint8_t)(words << 4);
		CHECK_EQ(in_scan("data offset"), parse(packet, length, &reply),
			 fits ? REPLY_ACCEPTED : REPLY_BAD_TCP_HEADER);
		if (fits)
			CHECK_EQ(in_scan("data offset"), reply.options_length,
				 (words - 5) * 4);
		/* Nor do the bytes of Ethernet padding count as options. */
		CHECK_EQ(in_scan("data offset, padded"), status_of(packet, length + 40),
			 fits ? REPLY_ACCEPTED : REPLY_BAD_TCP_HEADER);
	}
}

/* A header of 60 bytes in a packet of a bare TCP header. */
static void test_header_longer_than_packet(void)
{
	uint8_t packet[SAMPLE_MAX_BYTES] = {0};
	size_t length = good_rst(packet);

	packet[at_payload() + 12] = 0xf0;
	CHECK_EQ(in_scan("TCP header of 60"), status_of(packet, length),
		 REPLY_BAD_TCP_HEADER);
	if (is_ipv6())
		return;
	length = good_rst(packet);
	packet[0] = 0x4f;
	CHECK_EQ(in_scan("IP header of 60"), status_of(packet, length), REPLY_TRUNCATED);
	CHECK_EQ(in_scan("IP header of 60, padded"), status_of(packet, 60),
		 REPLY_BAD_IP_LENGTH);
}

/* Whole packets whose options are broken are replies all the same. */
static void test_broken_options(void)
{
	static const struct {
		const char *what;
		uint8_t options[8];
		enum mptcp_presence expected;
	} cases[] = {
	    {"zero length", {2, 0, 30, 4, 1, 1}, MPTCP_NONE},
	    {"MPTCP of length 0", {1, 30, 0, 1, 1}, MPTCP_MALFORMED},
	    {"MP_CAPABLE inside another option", {3, 8, 30, 4, 1, 1}, MPTCP_NONE},
	    {"length beyond the header", {2, 4, 5, 0xb4, 30, 12, 1, 1}, MPTCP_MALFORMED},
	    {"no length byte", {1, 1, 1, 1, 1, 1, 1, 30}, MPTCP_MALFORMED},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint8_t packet[SAMPLE_MAX_BYTES];
		struct reply reply;
		size_t length = sample_tcp(scan, packet, SYNACK, cases[i].options,
					   sizeof cases[i].options);

		CHECK_EQ(in_scan(cases[i].what), parse(packet, length, &reply),
			 REPLY_ACCEPTED);
		CHECK_EQ(in_scan(cases[i].what), reply.mptcp.presence, cases[i].expected);
	}
}

static void test_every_version(void)
{
	for (unsigned version = 0; version < 16; version++) {
		uint8_t packet[SAMPLE_MAX_BYTES];
		size_t length = good_synack(packet);

		packet[0] = (uint8_t)(version << 4 | (packet[0] & 0xf));
		CHECK_EQ(in_scan("version"), status_of(packet, length),
			 version == (unsigned)scan->family ? REPLY_ACCEPTED
							   : REPLY_WRONG_VERSION);
	}
}

/* Good replies of a scan of the other family. */
static void test_other_family(void)
{
	struct scan other = sample_indexed_scan(is_ipv6() ? IP_FAMILY_4 : IP_FAMILY_6);
	uint8_t packet[SAMPLE_MAX_BYTES];
	size_t length =
	    sample_tcp(&other, packet, SYNACK, synack_options, sizeof synack_options);

	for (size_t captured = 1; captured <= length; captured++)
		CHECK_EQ(in_scan("other family"), status_of(packet, captured),
			 REPLY_WRONG_VERSION);
	length = sample_icmp(&other, packet, is_ipv6() ? 3 : 1, 1, 40);
	CHECK_EQ(in_scan("other family"), status_of(packet, length), REPLY_WRONG_VERSION);

	/* The other family's ICMP behind this one's IP header, and quoted by it. */
	length = good_icmp(packet);
	packet[is_ipv6() ? 6 : 9] = is_ipv6() ? 1 : 58;
	CHECK_EQ(in_scan("other ICMP"), status_of(packet, length), REPLY_OTHER_PROTOCOL);
	length = good_icmp(packet);
	packet[at_quote()] ^= 0x20; /* 4 becomes 6, 6 becomes 4 */
	CHECK_EQ(in_scan("quote of the other family"), status_of(packet, length),
		 REPLY_BAD_QUOTE);
}

struct change {
	const char *what;
	size_t at;
	uint8_t value;
	enum reply_status expected;
};

static void check_changes(const uint8_t *good, size_t length,
			  const struct change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t packet[SAMPLE_MAX_BYTES];

		memcpy(packet, good, length);
		packet[changes[i].at] = changes[i].value;
		CHECK_EQ(in_scan(changes[i].what), status_of(packet, length),
			 changes[i].expected);
	}
}

static void test_flags(void)
{
	uint8_t good[SAMPLE_MAX_BYTES];
	size_t length = good_synack(good), at = at_payload() + 13;
	const struct change changes[] = {
	    {"SYN alone", at, TCP_FLAG_SYN, REPLY_WRONG_FLAGS},
	    {"ACK alone", at, TCP_FLAG_ACK, REPLY_WRONG_FLAGS},
	    {"RST without ACK", at, TCP_FLAG_RST, REPLY_WRONG_FLAGS},
	    {"SYN and RST without ACK", at, TCP_FLAG_SYN | TCP_FLAG_RST,
	     REPLY_WRONG_FLAGS},
	    {"no flags", at, 0, REPLY_WRONG_FLAGS},
	    {"FIN and ACK", at, 0x01 | TCP_FLAG_ACK, REPLY_WRONG_FLAGS},
	    {"SYN, RST and ACK", at, SYNACK | TCP_FLAG_RST, REPLY_ACCEPTED},
	    {"SYN-ACK with ECE", at, SYNACK | 0x40, REPLY_ACCEPTED},
	};

	check_changes(good, length, changes, sizeof changes / sizeof changes[0]);
}

static void test_foreign_tcp(void)
{
	uint8_t good[SAMPLE_MAX_BYTES];
	size_t length = good_synack(good), tcp = at_payload();
	size_t last_of_source = is_ipv6() ? 23 : 15;
	const struct change changes[] = {
	    /* The port goes with the address; only an index names another one. */
	    {"other source address", last_of_source, 99,
	     is_indexed() ? REPLY_WRONG_ADDRESS : REPLY_WRONG_PORT},
	    {"other source port", tcp + 1, 0xbc, REPLY_WRONG_PORT},
	    {"other destination port", tcp + 3, (uint8_t)~good[tcp + 3],
	     REPLY_WRONG_PORT},
	    {"other ack", tcp + 8, (uint8_t)~good[tcp + 8], REPLY_WRONG_ACK},
	    {"ack of the probe itself", tcp + 11, (uint8_t)(good[tcp + 11] - 1),
	     REPLY_WRONG_ACK},
	};

	check_changes(good, length, changes, sizeof changes / sizeof changes[0]);
}

static void test_foreign_quotes(void)
{
	uint8_t good[SAMPLE_MAX_BYTES];
	size_t length = good_icmp(good), quote = at_quote(), tcp = at_quoted_tcp();
	size_t protocol = quote + (is_ipv6() ? 6 : 9);
	size_t last_of_destination = quote + (is_ipv6() ? 39 : 19);
	const struct change changes[] = {
	    {"quote of UDP", protocol, 17, REPLY_FOREIGN_QUOTE},
	    {"quote with a hop-by-hop header", protocol, 0, REPLY_FOREIGN_QUOTE},
	    {"quote to another address", last_of_destination, 99, REPLY_FOREIGN_QUOTE},
	    {"quote of another source port", tcp + 1, (uint8_t)~good[tcp + 1],
	     REPLY_FOREIGN_QUOTE},
	    {"quote to another port", tcp + 3, 80, REPLY_FOREIGN_QUOTE},
	    {"quote of another sequence number", tcp + 7, (uint8_t)~good[tcp + 7],
	     REPLY_FOREIGN_QUOTE},
	    {"quote of what acknowledges the probe", tcp + 7,
	     (uint8_t)(good[tcp + 7] + 1), REPLY_FOREIGN_QUOTE},
	    /* Routers rewrite what they pass on: neither is part of what names a probe. */
	    {"quoted TTL", quote + (is_ipv6() ? 7 : 8), 1, REPLY_ACCEPTED},
	    {"quoted length", quote + (is_ipv6() ? 5 : 3), 0xff, REPLY_ACCEPTED},
	    {"quoted class", quote + 1, 0xff, REPLY_ACCEPTED},
	};

	check_changes(good, length, changes, sizeof changes / sizeof changes[0]);
}

static void test_ipv4_quotes(void)
{
	uint8_t good[SAMPLE_MAX_BYTES];
	size_t length = good_icmp(good);
	const struct change changes[] = {
	    {"quoted header of 0 words", at_quote(), 0x40, REPLY_BAD_QUOTE},
	    {"quoted header beyond the quote", at_quote(), 0x4f, REPLY_BAD_QUOTE},
	    {"quoted don't-fragment bit in host byte order", at_quote() + 7, 0x40,
	     REPLY_ACCEPTED},
	    {"quoted length below the header's", at_quote() + 3, 0, REPLY_ACCEPTED},
	};

	check_changes(good, length, changes, sizeof changes / sizeof changes[0]);
}

static void test_ipv4_header(void)
{
	uint8_t packet[SAMPLE_MAX_BYTES], with_options[SAMPLE_MAX_BYTES];
	struct reply reply;
	size_t length = good_synack(packet);
	const struct change changes[] = {
	    {"IP header of 4 words", 0, 0x44, REPLY_BAD_IP_LENGTH},
	    {"more fragments", 6, 0x20, REPLY_FRAGMENT},
	    {"later fragment", 7, 0x01, REPLY_FRAGMENT},
	    {"later fragment, far", 6, 0x10, REPLY_FRAGMENT},
	    {"DF", 6, 0x40, REPLY_ACCEPTED},
	    {"UDP", 9, 17, REPLY_OTHER_PROTOCOL},
	    /* An IPv6 extension's number means nothing here. */
	    {"protocol 0", 9, 0, REPLY_OTHER_PROTOCOL},
	};

	check_changes(packet, length, changes, sizeof changes / sizeof changes[0]);

	/* Four bytes of IP options: a header of six words. */
	memcpy(with_options, packet, 20);
	memset(with_options + 20, 1, 4);
	memcpy(with_options + 24, packet + 20, length - 20);
	with_options[0] = 0x46;
	store_u16(with_options + 2, (uint16_t)(length + 4));
	CHECK_EQ("IP options", parse(with_options, length + 4, &reply), REPLY_ACCEPTED);
	CHECK_EQ("IP options", reply.mptcp.key, 0x0123456789abcdef);
	CHECK_EQ("no room for them", status_of(with_options, 22), REPLY_TRUNCATED);
}

/* IANA, "IPv6 Extension Header Types" */
static enum reply_status status_of_next_header(unsigned next_header)
{
	switch (next_header) {
	case 44:
		return REPLY_FRAGMENT;
	case 0:   /* hop-by-hop options */
	case 43:  /* routing */
	case 50:  /* encapsulating security payload */
	case 51:  /* authentication */
	case 60:  /* destination options */
	case 135: /* mobility */
	case 139: /* host identity protocol */
	case 140: /* shim6 */
	case 253: /* experiments */
	case 254:
		return REPLY_IPV6_EXTENSION;
	}
	return REPLY_OTHER_PROTOCOL;
}

/* Puts an extension header of 8 bytes in front of what follows the IPv6 header. */
static size_t insert_extension(uint8_t *packet, size_t length, uint8_t kind)
{
	uint8_t *extension = packet + 40;

	memmove(extension + 8, extension, length - 40);
	memset(extension, 0, 8);
	extension[0] = packet[6];
	packet[6] = kind;
	set_payload_length(packet, length - 40 + 8);
	return length + 8;
}

static void test_ipv6_extensions(void)
{
	static const uint8_t chain[] = {60, 51, 44, 43, 0};
	uint8_t packet[SAMPLE_MAX_BYTES];
	size_t length;

	for (unsigned kind = 0; kind < 256; kind++) {
		if (kind == 6 || kind == 58)
			continue;
		length = good_synack(packet);
		packet[6] = (uint8_t)kind;
		CHECK_EQ("next header", status_of(packet, length),
			 status_of_next_header(kind));
		length = insert_extension(packet, good_synack(packet), (uint8_t)kind);
		CHECK_EQ("extension before TCP", status_of(packet, length),
			 status_of_next_header(kind));
		length = insert_extension(packet, good_icmp(packet), (uint8_t)kind);
		CHECK_EQ("extension before ICMPv6", status_of(packet, length),
			 status_of_next_header(kind));
	}
	length = good_synack(packet);
	for (size_t i = 0; i < sizeof chain; i++) {
		length = insert_extension(packet, length, chain[i]);
		CHECK_EQ("chain", status_of(packet, length),
			 status_of_next_header(chain[i]));
	}
}

/* What names the target, by bytes from the start of the packet. */
struct range {
	size_t from, to;
};

static void check_flips(const char *what, const uint8_t *good, size_t length,
			struct range range)
{
	for (size_t bit = range.from * 8; bit < range.to * 8; bit++) {
		uint8_t packet[SAMPLE_MAX_BYTES];
		enum reply_status status;

		memcpy(packet, good, length);
		packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
		status = status_of(packet, length);
		CHECK(status == REPLY_WRONG_PORT || status == REPLY_WRONG_ACK ||
		      status == REPLY_WRONG_ADDRESS || status == REPLY_FOREIGN_QUOTE);
		CHECK_EQ(in_scan(what), status == REPLY_ACCEPTED, false);
	}
}

static void test_every_flipped_bit(void)
{
	uint8_t good[SAMPLE_MAX_BYTES];
	size_t address_bytes = is_ipv6() ? 16 : 4;
	size_t source = is_ipv6() ? 8 : 12, destination = source + address_bytes;
	size_t tcp = at_payload(), quote = at_quote(), quoted_tcp = at_quoted_tcp();
	size_t length = good_synack(good);

	check_flips("source", good, length,
		    (struct range){source, source + address_bytes});
	check_flips("ports", good, length, (struct range){tcp, tcp + 4});
	check_flips("ack", good, length, (struct range){tcp + 8, tcp + 12});

	length = good_icmp(good);
	check_flips(
	    "quoted destination", good, length,
	    (struct range){quote + destination, quote + destination + address_bytes});
	check_flips("quoted ports and sequence number", good, length,
		    (struct range){quoted_tcp, quoted_tcp + 8});
}

/* Wherever the bit is: what is still accepted is about the same target. */
static void test_flipped_bits_keep_the_target(void)
{
	uint8_t packets[2][SAMPLE_MAX_BYTES];
	size_t lengths[2];
	unsigned accepted = 0;

	lengths[0] = good_synack(packets[0]);
	lengths[1] = good_icmp(packets[1]);
	for (int i = 0; i < 2; i++) {
		for (size_t bit = 0; bit < lengths[i] * 8; bit++) {
			struct reply reply;

			packets[i][bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (parse(packets[i], lengths[i], &reply) == REPLY_ACCEPTED) {
				struct target target = sample_target_of(scan);

				CHECK(ip_address_equal(reply.target.address,
						       target.address));
				CHECK_EQ(in_scan("flipped"), reply.target.index,
					 target.index);
				accepted++;
			}
			packets[i][bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
	CHECK(accepted > 100);
}

/* Packets that an indexed scan never sent, though each part of them could be ours. */
static void test_foreign_indices(void)
{
	struct target target = sample_target_of(scan), first = target;
	const uint32_t beyond[] = {SAMPLE_RECORDS, SAMPLE_RECORDS + 1, 0x80000000,
				   UINT32_MAX};
	uint8_t packet[SAMPLE_MAX_BYTES], quoting[SAMPLE_MAX_BYTES];
	size_t length = good_synack(packet), quoting_length = good_icmp(quoting);
	struct probe_state sent;

	for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
		uint32_t seq = permutation_apply(&scan->order, beyond[i]);

		store_u32(packet + at_payload() + 8, seq + 1);
		CHECK_EQ(in_scan("index beyond the file"), status_of(packet, length),
			 REPLY_WRONG_ACK);
		store_u32(quoting + at_quoted_tcp() + 4, seq);
		CHECK_EQ(in_scan("index beyond the file"),
			 status_of(quoting, quoting_length), REPLY_FOREIGN_QUOTE);
	}

	/* Another record's sequence number and port, from the address of this one. */
	first.index = 0;
	first.address = target_file_address(&scan->targets, 0);
	sent = scan_probe_state(scan, &first);
	store_u16(packet + at_payload() + 2, sent.source_port);
	store_u32(packet + at_payload() + 8, sent.seq + 1);
	CHECK_EQ(in_scan("address of another index"), status_of(packet, length),
		 REPLY_WRONG_ADDRESS);
	store_u16(quoting + at_quoted_tcp(), sent.source_port);
	store_u32(quoting + at_quoted_tcp() + 4, sent.seq);
	CHECK_EQ(in_scan("address of another index"), status_of(quoting, quoting_length),
		 REPLY_FOREIGN_QUOTE);
}

static void test_garbage(void)
{
	uint64_t seed = 4884;

	for (int round = 0; round < 20000; round++) {
		uint8_t packet[SAMPLE_MAX_BYTES];
		size_t quoted = check_random(&seed) % (SAMPLE_MAX_BYTES - at_quote());
		size_t length = sample_icmp(scan, packet, unreachable(), 0, quoted);

		for (size_t i = at_quote(); i < length; i++)
			packet[i] = (uint8_t)(check_random(&seed) >> 8);
		/* Half of them with the start of an IP header. */
		if (round % 2 == 0 && quoted > 0)
			packet[at_quote()] = is_ipv6() ? 0x60 : 0x45;
		CHECK(status_of(packet, length) != REPLY_ACCEPTED);
		for (size_t i = 0; i < length; i++)
			packet[i] = (uint8_t)(check_random(&seed) >> 8);
		CHECK(status_of(packet, length) != REPLY_ACCEPTED);
	}
}

/* Without the secrets, an answer to a probe cannot be made up. */
static void test_other_secret(void)
{
	static const uint8_t other_key[PERMUTATION_KEY_BYTES] = "another";
	struct scan hash = *scan, order = *scan;
	uint8_t packet[SAMPLE_MAX_BYTES];
	struct reply reply;
	size_t length = good_synack(packet);

	hash.secret.k0 ^= 1;
	hash.flow.k0 ^= 1;
	order.order = permutation(other_key);
	CHECK(parse_in(&hash, packet, length, &reply) != REPLY_ACCEPTED);
	CHECK(!is_indexed() ||
	      parse_in(&order, packet, length, &reply) == REPLY_WRONG_ACK);
	length = good_icmp(packet);
	CHECK(parse_in(&hash, packet, length, &reply) == REPLY_FOREIGN_QUOTE);
}

static void test_names(void)
{
	for (int a = 0; a < REPLY_STATUS_COUNT; a++) {
		const char *name = reply_status_name((enum reply_status)a);

		if (!check_count(name != NULL))
			continue;
		CHECK(strlen(name) > 0 &&
		      strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") ==
			  strlen(name));
		for (int b = 0; b < a; b++)
			CHECK(strcmp(name, reply_status_name((enum reply_status)b)) != 0);
	}
	CHECK_TEXT(reply_status_name(REPLY_WRONG_ACK), "wrong-ack");
}

static void test_scan(const char *name, const struct scan *of)
{
	scan_name = name;
	scan = of;
	test_synack();
	test_rst();
	test_canary();
	test_icmp_types();
	test_icmp_quote_lengths();
	test_icmp_extensions();
	test_every_prefix();
	test_every_ip_length();
	test_every_data_offset();
	test_header_longer_than_packet();
	test_broken_options();
	test_every_version();
	test_other_family();
	test_flags();
	test_foreign_tcp();
	test_foreign_quotes();
	test_every_flipped_bit();
	test_flipped_bits_keep_the_target();
	test_garbage();
	test_other_secret();
	if (is_indexed())
		test_foreign_indices();
	if (is_ipv6()) {
		test_icmpv6_mtu_and_pointer();
		test_ipv6_extensions();
	} else {
		test_ipv4_quotes();
		test_ipv4_header();
	}
}

int main(void)
{
	struct scan direct = sample_direct_scan();
	struct scan indexed_4 = sample_indexed_scan(IP_FAMILY_4);
	struct scan indexed_6 = sample_indexed_scan(IP_FAMILY_6);

	test_names();
	test_scan("direct", &direct);
	test_scan("indexed IPv4", &indexed_4);
	test_scan("indexed IPv6", &indexed_6);
	return check_report("reply_test");
}
