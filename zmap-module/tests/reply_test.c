#include "../wire/reply.h"

#include "../wire/store.h"
#include "check.h"
#include "sample.h"

#define AT_TCP 20
#define AT_QUOTE 28
#define AT_QUOTED_TCP (AT_QUOTE + 20)

/* MSS, then MP_CAPABLE v1 with flags 01 and a key (RFC 8684 section 3.1, figure 4). */
static const uint8_t synack_options[] = {0x02, 0x04, 0x05, 0xb4, 0x1e, 0x0c, 0x01, 0x01,
					 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

/* The bytes lie in memory of exactly that size, so that overreads are seen. */
static enum reply_status parse(const uint8_t *packet, size_t captured,
			       struct reply *reply)
{
	struct siphash_key secret = sample_secret();
	uint8_t *copy = malloc(captured > 0 ? captured : 1);
	enum reply_status status;

	memcpy(copy, packet, captured);
	status = reply_parse(copy, captured, &secret, SAMPLE_TARGET_PORT, reply);
	/* Pointers into `copy` must not outlive it: what follows reads the original. */
	if (reply->options != NULL)
		reply->options = packet + (reply->options - copy);
	if (reply->quote != NULL)
		reply->quote = packet + (reply->quote - copy);
	free(copy);
	return status;
}

static enum reply_status status_of(const uint8_t *packet, size_t captured)
{
	struct reply reply;

	return parse(packet, captured, &reply);
}

static size_t good_synack(uint8_t *packet)
{
	return sample_tcp(packet, TCP_FLAG_SYN | TCP_FLAG_ACK, synack_options,
			  sizeof synack_options);
}

static void check_synack(const struct reply *reply, const uint8_t *packet)
{
	CHECK_EQ("synack", reply->kind, REPLY_SYNACK);
	CHECK_EQ("synack", reply->target.address, SAMPLE_TARGET_ADDRESS);
	CHECK_EQ("synack", reply->target.port, SAMPLE_TARGET_PORT);
	CHECK_EQ("synack", reply->our_address, SAMPLE_OUR_ADDRESS);
	CHECK_EQ("synack", reply->seq, SAMPLE_SEQ);
	CHECK_EQ("synack", reply->window, SAMPLE_WINDOW);
	CHECK_EQ("synack", reply->tcp_flags, TCP_FLAG_SYN | TCP_FLAG_ACK);
	CHECK_EQ("synack", reply->options_length, sizeof synack_options);
	CHECK(reply->options == packet + 40);
	CHECK_EQ("synack", reply->mptcp.presence, MPTCP_CAPABLE);
	CHECK_EQ("synack", reply->mptcp.key, 0x0123456789abcdef);
}

static void test_synack(void)
{
	uint8_t packet[SAMPLE_MAX_BYTES] = {0};
	struct reply reply;
	size_t length = good_synack(packet);

	CHECK_EQ("synack", parse(packet, length, &reply), REPLY_ACCEPTED);
	check_synack(&reply, packet);
	/* Ethernet padding behind the IP total length is not the packet's. */
	CHECK_EQ("padded", parse(packet, length + 6, &reply), REPLY_ACCEPTED);
	check_synack(&reply, packet);
}

static void test_ip_options(void)
{
	uint8_t packet[SAMPLE_MAX_BYTES], with_options[SAMPLE_MAX_BYTES];
	struct reply reply;
	size_t length = good_synack(packet);

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

static void test_rst(void)
{
	uint8_t packet[SAMPLE_MAX_BYTES];
	struct reply reply;
	size_t length = sample_tcp(packet, TCP_FLAG_RST | TCP_FLAG_ACK, NULL, 0);

	CHECK_EQ("rst", parse(packet, length, &reply), REPLY_ACCEPTED);
	CHECK_EQ("rst", reply.kind, REPLY_RST);
	CHECK_EQ("rst", reply.mptcp.presence, MPTCP_NONE);
	CHECK_EQ("rst", reply.options_length, 0);
}

static void test_icmp(void)
{
	/* RFC 792 promises header and eight bytes; Linux quotes the whole probe. */
	static const size_t quoted[] = {28, 29, 44};

	for (size_t i = 0; i < sizeof quoted / sizeof quoted[0]; i++) {
		uint8_t packet[SAMPLE_MAX_BYTES];
		struct reply reply;
		size_t length = sample_icmp(packet, 13, quoted[i]);

		CHECK_EQ("icmp", parse(packet, length, &reply), REPLY_ACCEPTED);
		CHECK_EQ("icmp", reply.kind, REPLY_ICMP);
		CHECK_EQ("icmp", reply.icmp_type, 3);
		CHECK_EQ("icmp", reply.icmp_code, 13);
		CHECK_EQ("icmp", reply.responder, SAMPLE_ROUTER_ADDRESS);
		CHECK_EQ("icmp", reply.target.address, SAMPLE_TARGET_ADDRESS);
		CHECK_EQ("icmp", reply.target.port, SAMPLE_TARGET_PORT);
		CHECK_EQ("icmp", reply.our_address, SAMPLE_OUR_ADDRESS);
		CHECK_EQ("icmp", reply.quote_length, quoted[i]);
		CHECK(reply.quote == packet + AT_QUOTE);
	}
}

/* Cut anywhere, a good reply is refused: never accepted with fewer facts. */
static void test_every_prefix(void)
{
	uint8_t packets[3][SAMPLE_MAX_BYTES];
	size_t lengths[3];

	lengths[0] = good_synack(packets[0]);
	lengths[1] = sample_tcp(packets[1], TCP_FLAG_RST | TCP_FLAG_ACK, NULL, 0);
	lengths[2] = sample_icmp(packets[2], 1, 44);
	for (int i = 0; i < 3; i++) {
		for (size_t captured = 0; captured < lengths[i]; captured++)
			CHECK_EQ("prefix", status_of(packets[i], captured),
				 REPLY_TRUNCATED);
	}
}

/* The same, when the IP total length tells the same lie as the capture. */
static void test_every_shorter_total_length(void)
{
	for (size_t total = 0; total < 40 + sizeof synack_options; total++) {
		uint8_t packet[SAMPLE_MAX_BYTES];
		size_t length = good_synack(packet);

		store_u16(packet + 2, (uint16_t)total);
		CHECK_EQ("total length", status_of(packet, length),
			 total < 20 ? REPLY_BAD_IP_LENGTH : REPLY_BAD_TCP_HEADER);
	}
}

static void test_every_data_offset(void)
{
	for (unsigned words = 0; words < 16; words++) {
		uint8_t packet[SAMPLE_MAX_BYTES];
		struct reply reply;
		size_t length = good_synack(packet);
		bool fits = words >= 5 && words <= 5 + sizeof synack_options / 4;

		packet[AT_TCP + 12] = (uint8_t)(words << 4);
		CHECK_EQ("data offset", parse(packet, length, &reply),
			 fits ? REPLY_ACCEPTED : REPLY_BAD_TCP_HEADER);
		if (fits)
			CHECK_EQ("data offset", reply.options_length, (words - 5) * 4);
	}
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
		CHECK_EQ(changes[i].what, status_of(packet, length), changes[i].expected);
	}
}

static void test_refused_tcp(void)
{
	uint8_t good[SAMPLE_MAX_BYTES];
	size_t length = good_synack(good);
	const struct change changes[] = {
	    {"IPv6", 0, 0x65, REPLY_NOT_IPV4},
	    {"IP header of 4 words", 0, 0x44, REPLY_NOT_IPV4},
	    {"total length above capture", 2, 0x01, REPLY_TRUNCATED},
	    {"more fragments", 6, 0x20, REPLY_FRAGMENT},
	    {"later fragment", 7, 0x01, REPLY_FRAGMENT},
	    {"DF", 6, 0x40, REPLY_ACCEPTED},
	    {"UDP", 9, 17, REPLY_OTHER_PROTOCOL},
	    {"other source address", 15, 8, REPLY_WRONG_PORT},
	    {"other source port", AT_TCP + 1, 0xbc, REPLY_WRONG_PORT},
	    {"other destination port", AT_TCP + 3, (uint8_t)~good[AT_TCP + 3],
	     REPLY_WRONG_PORT},
	    {"other ack", AT_TCP + 8, (uint8_t)~good[AT_TCP + 8], REPLY_WRONG_ACK},
	    {"ack of the probe itself", AT_TCP + 11, (uint8_t)(good[AT_TCP + 11] - 1),
	     REPLY_WRONG_ACK},
	    {"SYN alone", AT_TCP + 13, TCP_FLAG_SYN, REPLY_WRONG_FLAGS},
	    {"ACK alone", AT_TCP + 13, TCP_FLAG_ACK, REPLY_WRONG_FLAGS},
	    {"RST without ACK", AT_TCP + 13, TCP_FLAG_RST, REPLY_WRONG_FLAGS},
	    {"no flags", AT_TCP + 13, 0, REPLY_WRONG_FLAGS},
	    {"SYN, RST and ACK", AT_TCP + 13, TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_ACK,
	     REPLY_ACCEPTED},
	    {"SYN-ACK with ECE", AT_TCP + 13, TCP_FLAG_SYN | TCP_FLAG_ACK | 0x40,
	     REPLY_ACCEPTED},
	};

	check_changes(good, length, changes, sizeof changes / sizeof changes[0]);
}

static void test_refused_icmp(void)
{
	uint8_t good[SAMPLE_MAX_BYTES];
	size_t length = sample_icmp(good, 3, 44);
	const struct change changes[] = {
	    {"time exceeded", 20, 11, REPLY_OTHER_ICMP},
	    {"echo reply", 20, 0, REPLY_OTHER_ICMP},
	    {"quote of IPv6", AT_QUOTE, 0x65, REPLY_BAD_QUOTE},
	    {"quoted header of 0 words", AT_QUOTE, 0x40, REPLY_BAD_QUOTE},
	    {"quoted header beyond the quote", AT_QUOTE, 0x4f, REPLY_BAD_QUOTE},
	    {"quote of UDP", AT_QUOTE + 9, 17, REPLY_FOREIGN_QUOTE},
	    {"quote to another address", AT_QUOTE + 19, 8, REPLY_FOREIGN_QUOTE},
	    {"quote of another source port", AT_QUOTED_TCP + 1,
	     (uint8_t)~good[AT_QUOTED_TCP + 1], REPLY_FOREIGN_QUOTE},
	    {"quote to another port", AT_QUOTED_TCP + 3, 80, REPLY_FOREIGN_QUOTE},
	    {"quote of another sequence number", AT_QUOTED_TCP + 7,
	     (uint8_t)~good[AT_QUOTED_TCP + 7], REPLY_FOREIGN_QUOTE},
	    /* Routers rewrite what they pass on: neither is part of what names a probe. */
	    {"quoted TTL", AT_QUOTE + 8, 1, REPLY_ACCEPTED},
	    {"quoted total length", AT_QUOTE + 3, 0xff, REPLY_ACCEPTED},
	    {"quoted don't-fragment bit in host byte order", AT_QUOTE + 7, 0x40,
	     REPLY_ACCEPTED},
	    /* RFC 4884: a quote of 7 words, 28 bytes, is enough; one of 6 is not. */
	    {"quote of 7 words and extensions", 25, 7, REPLY_ACCEPTED},
	    {"quote of 6 words and extensions", 25, 6, REPLY_BAD_QUOTE},
	    {"quote length beyond the message", 25, 255, REPLY_ACCEPTED},
	};

	check_changes(good, length, changes, sizeof changes / sizeof changes[0]);
}

/* RFC 4884 section 4: what follows a quote of 28 bytes is no part of it. */
static void test_icmp_extensions(void)
{
	uint8_t packet[SAMPLE_MAX_BYTES];
	size_t length = sample_icmp(packet, 3, 44);
	struct reply reply;

	packet[25] = 28 / 4;
	CHECK_EQ("extensions", parse(packet, length, &reply), REPLY_ACCEPTED);
	CHECK_EQ("extensions", reply.quote_length, 28);
	CHECK(reply.quote == packet + AT_QUOTE);
}

static void test_every_short_quote(void)
{
	for (size_t quoted = 0; quoted < 28; quoted++) {
		uint8_t packet[SAMPLE_MAX_BYTES];
		size_t length = sample_icmp(packet, 3, quoted);

		CHECK_EQ("short quote", status_of(packet, length), REPLY_BAD_QUOTE);
	}
	for (size_t icmp_bytes = 0; icmp_bytes < 8; icmp_bytes++) {
		uint8_t packet[SAMPLE_MAX_BYTES];

		sample_icmp(packet, 3, 0);
		store_u16(packet + 2, (uint16_t)(20 + icmp_bytes));
		CHECK(status_of(packet, 20 + icmp_bytes) != REPLY_ACCEPTED);
	}
}

/* Without the secret, an answer to a probe cannot be made up. */
static void test_other_secret(void)
{
	struct siphash_key other = {.k0 = 1, .k1 = 2};
	uint8_t packet[SAMPLE_MAX_BYTES];
	struct reply reply;
	size_t length = good_synack(packet);

	CHECK(reply_parse(packet, length, &other, SAMPLE_TARGET_PORT, &reply) !=
	      REPLY_ACCEPTED);
	length = sample_icmp(packet, 3, 44);
	CHECK(reply_parse(packet, length, &other, SAMPLE_TARGET_PORT, &reply) !=
	      REPLY_ACCEPTED);
}

int main(void)
{
	test_synack();
	test_ip_options();
	test_rst();
	test_icmp();
	test_every_prefix();
	test_every_shorter_total_length();
	test_every_data_offset();
	test_refused_tcp();
	test_refused_icmp();
	test_icmp_extensions();
	test_every_short_quote();
	test_other_secret();
	return check_report("reply_test");
}
