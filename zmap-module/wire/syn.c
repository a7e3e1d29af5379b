#include "syn.h"

#include <string.h>

#include "checksum.h"
#include "store.h"
#include "tcp_options.h"

/* What Linux 6.18 sends over Ethernet with default settings. */
/* MSS: 1500 bytes without IP and TCP header. Window: as many MSS as 65535 bytes hold. */
#define LINUX_MSS_IPV4 1460
#define LINUX_MSS_IPV6 1440
#define LINUX_WINDOW_IPV4 64240
#define LINUX_WINDOW_SCALE 10 /* where tcp_rmem may grow to 32 MiB; 7 for 6 MiB */

/*
 * MP_CAPABLE flags. A (80) asks for checksums, as the out-of-tree v0 kernel does; H (01)
 * is HMAC-SHA1 in v0, HMAC-SHA256 in v1.
 */
#define MP_CAPABLE_V0_FLAGS 0x81 /* RFC 6824 section 3.1 */
#define MP_CAPABLE_V1_FLAGS 0x01 /* RFC 8684 section 3.1 */

/* Offsets of the fields that change, within their header. */
enum {
	AT_IPV4_ID = 4,
	AT_IPV4_TTL = 8,
	AT_IPV4_CHECKSUM = 10,
	AT_IPV4_SOURCE = 12,
	AT_IPV4_DESTINATION = 16,
	AT_IPV6_FLOW_LABEL = 0, /* with version and traffic class above it */
	AT_IPV6_HOP_LIMIT = 7,
	AT_IPV6_SOURCE = 8,
	AT_IPV6_DESTINATION = 24,
	AT_TCP_SOURCE_PORT = 0,
	AT_TCP_SEQ = 4,
	AT_TCP_WINDOW = 14,
	AT_TCP_CHECKSUM = 16,
};

#define IPV6_VERSION_WORD (6u << 28)

static uint8_t *append_u8(uint8_t *at, uint8_t value)
{
	*at = value;
	return at + 1;
}

static uint8_t *append_u16(uint8_t *at, uint16_t value)
{
	store_u16(at, value);
	return at + 2;
}

static uint8_t *append_u32(uint8_t *at, uint32_t value)
{
	store_u32(at, value);
	return at + 4;
}

static uint8_t *append_option(uint8_t *at, uint8_t kind, uint8_t length)
{
	return append_u8(append_u8(at, kind), length);
}

static uint8_t *append_linux_options(uint8_t *at, const struct syn_shape *shape)
{
	at = append_option(at, TCP_OPTION_MSS, 4);
	at = append_u16(at,
			shape->family == IP_FAMILY_6 ? LINUX_MSS_IPV6 : LINUX_MSS_IPV4);
	at = append_option(at, TCP_OPTION_SACK_PERMITTED, 2);
	at = append_option(at, TCP_OPTION_TIMESTAMPS, 10);
	at = append_u32(at, shape->ts_value);
	at = append_u32(at, 0);
	at = append_u8(at, TCP_OPTION_NOP);
	at = append_option(at, TCP_OPTION_WINDOW_SCALE, 3);
	return append_u8(at, LINUX_WINDOW_SCALE);
}

static uint8_t *append_mp_capable_v0(uint8_t *at)
{
	at = append_option(at, TCP_OPTION_MPTCP, MP_CAPABLE_V0_BYTES);
	at = append_u8(at, MPTCP_SUBTYPE_CAPABLE << 4 | 0);
	at = append_u8(at, MP_CAPABLE_V0_FLAGS);
	at = append_u32(at, 0);
	return append_u32(at, 0);
}

static uint8_t *append_mp_capable_v1(uint8_t *at)
{
	at = append_option(at, TCP_OPTION_MPTCP, MP_CAPABLE_BYTES);
	at = append_u8(at, MPTCP_SUBTYPE_CAPABLE << 4 | 1);
	return append_u8(at, MP_CAPABLE_V1_FLAGS);
}

static uint8_t *append_canary(uint8_t *at)
{
	at = append_option(at, TCP_OPTION_EXPERIMENT, CANARY_BYTES);
	at = append_u16(at, CANARY_EXPERIMENT);
	return append_u32(at, 0);
}

static uint8_t *append_options(uint8_t *at, const struct syn_shape *shape,
			       struct syn_template *syn)
{
	if (shape->options == OPTIONS_LINUX)
		at = append_linux_options(at, shape);
	if (shape->kind == PROBE_V0) {
		at = append_mp_capable_v0(at);
		syn->key_at = (size_t)(at - syn->packet) - sizeof(uint64_t);
	} else if (shape->kind == PROBE_V1) {
		at = append_mp_capable_v1(at);
	}
	if (shape->canary) {
		at = append_canary(at);
		syn->canary_at = (size_t)(at - syn->packet) - sizeof(uint32_t);
	}
	/* Every set of options is a multiple of four bytes long: no padding. */
	return at;
}

static void store_ipv4_header(uint8_t *at, size_t packet_bytes)
{
	at = append_u8(at, 4 << 4 | IPV4_HEADER_BYTES / 4);
	at = append_u8(at, 0);
	at = append_u16(at, (uint16_t)packet_bytes);
	at = append_u16(at, 0);
	at = append_u16(at, IPV4_DONT_FRAGMENT);
	at = append_u8(at, 0);
	append_u8(at, IP_PROTOCOL_TCP);
}

static void store_ipv6_header(uint8_t *at, size_t segment_bytes, struct ip_address source)
{
	at = append_u32(at, IPV6_VERSION_WORD);
	at = append_u16(at, (uint16_t)segment_bytes);
	at = append_u8(at, IP_PROTOCOL_TCP);
	at = append_u8(at, 0);
	store_address_6(at, source);
}

static void store_tcp_header(uint8_t *at, size_t segment_bytes,
			     const struct syn_shape *shape)
{
	at = append_u16(at, 0);
	at = append_u16(at, shape->target_port);
	at = append_u32(at, 0);
	at = append_u32(at, 0);
	at = append_u8(at, (uint8_t)(segment_bytes / 4 << 4));
	at = append_u8(at, TCP_FLAG_SYN);
	append_u16(at, shape->family == IP_FAMILY_6 ? 0 : LINUX_WINDOW_IPV4);
}

static size_t ip_header_bytes(enum ip_family family)
{
	return family == IP_FAMILY_6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES;
}

struct syn_template syn_template(const struct syn_shape *shape)
{
	struct syn_template syn = {.family = shape->family};
	uint8_t *tcp = syn.packet + ip_header_bytes(shape->family);
	size_t segment_bytes =
	    (size_t)(append_options(tcp + TCP_HEADER_BYTES, shape, &syn) - tcp);

	syn.length = ip_header_bytes(shape->family) + segment_bytes;
	store_tcp_header(tcp, segment_bytes, shape);
	/*
	 * Protocol and length of the pseudo-header never change, nor does the source of an
	 * IPv6 probe (RFC 9293 section 3.1, RFC 8200 section 8.1).
	 */
	syn.tcp_sum = checksum_add(0, tcp, segment_bytes) + IP_PROTOCOL_TCP +
		      (uint32_t)segment_bytes;
	if (shape->family == IP_FAMILY_6) {
		store_ipv6_header(syn.packet, segment_bytes, shape->source);
		syn.tcp_sum = checksum_add(syn.tcp_sum, syn.packet + AT_IPV6_SOURCE,
					   IPV6_ADDRESS_BYTES);
	} else {
		store_ipv4_header(syn.packet, syn.length);
		syn.ip_sum = checksum_add(0, syn.packet, IPV4_HEADER_BYTES);
	}
	return syn;
}

static uint32_t add_u64(uint32_t sum, uint64_t value)
{
	return checksum_add_u32(checksum_add_u32(sum, (uint32_t)(value >> 32)),
				(uint32_t)value);
}

/* The fields behind the IP header. `sum` is of the constant part and the addresses. */
static void fill_tcp(const struct syn_template *syn, uint8_t *packet, uint8_t *tcp,
		     uint32_t sum, const struct syn_values *values)
{
	store_u16(tcp + AT_TCP_SOURCE_PORT, values->state.source_port);
	store_u32(tcp + AT_TCP_SEQ, values->state.seq);
	sum = checksum_add_u32(sum + values->state.source_port, values->state.seq);
	if (syn->key_at != 0) {
		store_u64(packet + syn->key_at, values->key);
		sum = add_u64(sum, values->key);
	}
	if (syn->canary_at != 0) {
		store_u32(packet + syn->canary_at, values->canary);
		sum = checksum_add_u32(sum, values->canary);
	}
	store_u16(tcp + AT_TCP_CHECKSUM, checksum_finish(sum));
}

static void make_ipv4(const struct syn_template *syn, uint8_t *packet,
		      struct ip_address target, const struct syn_values *values)
{
	uint16_t id = (uint16_t)values->state.label;
	uint32_t ttl_word = (uint32_t)values->ttl << 8; /* with the protocol below it */
	uint32_t addresses = checksum_add_u32(add_u64(0, target.low), values->source);

	store_u16(packet + AT_IPV4_ID, id);
	packet[AT_IPV4_TTL] = values->ttl;
	store_u32(packet + AT_IPV4_SOURCE, values->source);
	store_address_4(packet + AT_IPV4_DESTINATION, target);
	store_u16(packet + AT_IPV4_CHECKSUM,
		  checksum_finish(syn->ip_sum + addresses + id + ttl_word));
	fill_tcp(syn, packet, packet + IPV4_HEADER_BYTES, syn->tcp_sum + addresses,
		 values);
}

static void make_ipv6(const struct syn_template *syn, uint8_t *packet,
		      struct ip_address target, const struct syn_values *values)
{
	uint32_t label = values->state.label & label_mask(IP_FAMILY_6);
	uint16_t window = syn_window_ipv6(values->mark);
	uint32_t sum = add_u64(add_u64(syn->tcp_sum, target.high), target.low);

	store_u32(packet + AT_IPV6_FLOW_LABEL, IPV6_VERSION_WORD | label);
	packet[AT_IPV6_HOP_LIMIT] = values->ttl;
	store_address_6(packet + AT_IPV6_DESTINATION, target);
	store_u16(packet + IPV6_HEADER_BYTES + AT_TCP_WINDOW, window);
	fill_tcp(syn, packet, packet + IPV6_HEADER_BYTES, sum + window, values);
}

void syn_make(const struct syn_template *syn, uint8_t *packet,
	      const struct target *target, const struct syn_values *values)
{
	/* Of constant length, which compiles to a few moves. */
	memcpy(packet, syn->packet, sizeof syn->packet);
	if (syn->family == IP_FAMILY_6)
		make_ipv6(syn, packet, target->address, values);
	else
		make_ipv4(syn, packet, target->address, values);
}
