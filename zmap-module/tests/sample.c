#include "sample.h"

#include <string.h>

#include "../wire/store.h"

struct siphash_key sample_secret(void)
{
	static const uint8_t bytes[SIPHASH_KEY_BYTES] = "0123456789abcde";

	return siphash_key(bytes);
}

struct target sample_target(void)
{
	return (struct target){.address = SAMPLE_TARGET_ADDRESS,
			       .port = SAMPLE_TARGET_PORT};
}

static void store_ip(uint8_t *at, size_t total, uint8_t protocol, uint32_t source,
		     uint32_t destination)
{
	memset(at, 0, 20);
	at[0] = 0x45;
	store_u16(at + 2, (uint16_t)total);
	at[8] = 64;
	at[9] = protocol;
	store_u32(at + 12, source);
	store_u32(at + 16, destination);
}

size_t sample_tcp(uint8_t *packet, uint8_t flags, const uint8_t *options, size_t length)
{
	struct siphash_key secret = sample_secret();
	struct probe_state sent = probe_state(&secret, sample_target());
	uint8_t *tcp = packet + 20;

	store_ip(packet, 40 + length, 6, SAMPLE_TARGET_ADDRESS, SAMPLE_OUR_ADDRESS);
	memset(tcp, 0, 20);
	store_u16(tcp, SAMPLE_TARGET_PORT);
	store_u16(tcp + 2, sent.source_port);
	store_u32(tcp + 4, SAMPLE_SEQ);
	store_u32(tcp + 8, sent.seq + 1);
	tcp[12] = (uint8_t)((5 + length / 4) << 4);
	tcp[13] = flags;
	store_u16(tcp + 14, SAMPLE_WINDOW);
	if (length > 0)
		memcpy(tcp + 20, options, length);
	return 40 + length;
}

size_t sample_icmp(uint8_t *packet, uint8_t code, size_t quoted_bytes)
{
	struct siphash_key secret = sample_secret();
	struct probe_state sent = probe_state(&secret, sample_target());
	uint8_t *icmp = packet + 20;
	uint8_t *quote = icmp + 8;
	uint8_t *tcp = quote + 20;

	store_ip(packet, 28 + quoted_bytes, 1, SAMPLE_ROUTER_ADDRESS, SAMPLE_OUR_ADDRESS);
	memset(icmp, 0, 8);
	icmp[0] = 3;
	icmp[1] = code;
	store_ip(quote, 44, 6, SAMPLE_OUR_ADDRESS, SAMPLE_TARGET_ADDRESS);
	memset(tcp, 0, 24);
	store_u16(tcp, sent.source_port);
	store_u16(tcp + 2, SAMPLE_TARGET_PORT);
	store_u32(tcp + 4, sent.seq);
	tcp[12] = 0x60;
	tcp[13] = TCP_FLAG_SYN;
	store_u32(tcp + 20, 0x1e040101);
	return 28 + quoted_bytes;
}
