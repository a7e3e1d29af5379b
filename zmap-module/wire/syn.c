#include "syn.h"

#include <string.h>

#include "checksum.h"
#include "store.h"
#include "tcp_options.h"

/* What Linux 6.18 sends over Ethernet with default settings. */
#define LINUX_TTL 64
#define LINUX_WINDOW 64240
#define LINUX_MSS 1460
#define LINUX_WINDOW_SCALE 10 /* where tcp_rmem may grow to 32 MiB; 7 for 6 MiB */

/*
 * MP_CAPABLE flags. A (80) asks for checksums, as the out-of-tree v0 kernel does; H (01)
 * is HMAC-SHA1 in v0, HMAC-SHA256 in v1.
 */
#define MP_CAPABLE_V0_FLAGS 0x81 /* RFC 6824 section 3.1 */
#define MP_CAPABLE_V1_FLAGS 0x01 /* RFC 8684 section 3.1 */

/* Offsets in the packet of the fields that change. */
enum {
	AT_IP_ID = 4,
	AT_IP_CHECKSUM = 10,
	AT_IP_SOURCE = 12,
	AT_IP_DESTINATION = 16,
	AT_TCP = IPV4_HEADER_BYTES,
	AT_TCP_SOURCE_PORT = AT_TCP,
	AT_TCP_SEQ = AT_TCP + 4,
	AT_TCP_CHECKSUM = AT_TCP + 16,
	AT_TCP_OPTIONS = AT_TCP + TCP_HEADER_BYTES,
};

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

static uint8_t *append_linux_options(uint8_t *at, uint32_t ts_value)
{
	at = append_option(at, TCP_OPTION_MSS, 4);
	at = append_u16(at, LINUX_MSS);
	at = append_option(at, TCP_OPTION_SACK_PERMITTED, 2);
	at = append_option(at, TCP_OPTION_TIMESTAMPS, 10);
	at = append_u32(at, ts_value);
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

static void store_ip_header(uint8_t *at, size_t packet_bytes)
{
	at = append_u8(at, 4 << 4 | IPV4_HEADER_BYTES / 4);
	at = append_u8(at, 0);
	at = append_u16(at, (uint16_t)packet_bytes);
	at = append_u16(at, 0);
	at = append_u16(at, IPV4_DONT_FRAGMENT);
	at = append_u8(at, LINUX_TTL);
	append_u8(at, IPV4_PROTOCOL_TCP);
}

static void store_tcp_header(uint8_t *at, size_t segment_bytes, uint16_t target_port)
{
	at = append_u16(at, 0);
	at = append_u16(at, target_port);
	at = append_u32(at, 0);
	at = append_u32(at, 0);
	at = append_u8(at, (uint8_t)(segment_bytes / 4 << 4));
	at = append_u8(at, TCP_FLAG_SYN);
	append_u16(at, LINUX_WINDOW);
}

struct syn_template syn_template(enum probe_kind kind, enum option_set options,
				 uint16_t target_port, uint32_t ts_value)
{
	struct syn_template syn = {.length = 0};
	uint8_t *at = syn.packet + AT_TCP_OPTIONS;
	size_t segment_bytes;

	if (options == OPTIONS_LINUX)
		at = append_linux_options(at, ts_value);
	if (kind == PROBE_V0) {
		at = append_mp_capable_v0(at);
		syn.key_at = (size_t)(at - syn.packet) - sizeof(uint64_t);
	} else if (kind == PROBE_V1) {
		at = append_mp_capable_v1(at);
	}

	/* Every set of options is a multiple of four bytes long: no padding. */
	syn.length = (size_t)(at - syn.packet);
	segment_bytes = syn.length - AT_TCP;
	store_ip_header(syn.packet, syn.length);
	store_tcp_header(syn.packet + AT_TCP, segment_bytes, target_port);

	syn.ip_sum = checksum_add(0, syn.packet, IPV4_HEADER_BYTES);
	/* The pseudo-header's protocol and length never change (RFC 9293 section 3.1). */
	syn.tcp_sum = checksum_add(0, syn.packet + AT_TCP, segment_bytes) +
		      IPV4_PROTOCOL_TCP + (uint32_t)segment_bytes;
	return syn;
}

void syn_fill(const struct syn_template *syn, uint8_t *packet, uint32_t source,
	      struct target target, const struct probe_state *state, uint64_t key)
{
	uint32_t addresses =
	    checksum_add_u32(checksum_add_u32(0, source), target.address);
	uint32_t ip_sum = syn->ip_sum + addresses + state->ip_id;
	uint32_t tcp_sum = syn->tcp_sum + addresses + state->source_port;

	store_u16(packet + AT_IP_ID, state->ip_id);
	store_u32(packet + AT_IP_SOURCE, source);
	store_u32(packet + AT_IP_DESTINATION, target.address);
	store_u16(packet + AT_IP_CHECKSUM, checksum_finish(ip_sum));

	store_u16(packet + AT_TCP_SOURCE_PORT, state->source_port);
	store_u32(packet + AT_TCP_SEQ, state->seq);
	tcp_sum = checksum_add_u32(tcp_sum, state->seq);
	if (syn->key_at != 0) {
		store_u64(packet + syn->key_at, key);
		tcp_sum = checksum_add_u32(tcp_sum, (uint32_t)(key >> 32));
		tcp_sum = checksum_add_u32(tcp_sum, (uint32_t)key);
	}
	store_u16(packet + AT_TCP_CHECKSUM, checksum_finish(tcp_sum));
}
