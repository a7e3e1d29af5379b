#include "sample.h"

#include <arpa/inet.h>
#include <string.h>

#include "../wire/store.h"

#define TCP_BYTES 20
#define ICMP_BYTES 8
#define QUOTED_OPTIONS_BYTES 4

static const uint8_t records_4[SAMPLE_RECORDS][4] = {
    {198, 51, 100, 6},
    {198, 51, 100, 7},
    {203, 0, 113, 200},
};

static const uint8_t records_6[SAMPLE_RECORDS][16] = {
    {0x20, 0x01, 0x0d, 0xb8, [15] = 6},
    {0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 7},
    {0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 8},
};

struct siphash_key sample_secret(void)
{
	static const uint8_t bytes[SIPHASH_KEY_BYTES] = "0123456789abcde";

	return siphash_key(bytes);
}

struct scan sample_direct_scan(void)
{
	return (struct scan){
	    .args = {.probe = PROBE_V1},
	    .secret = sample_secret(),
	    .flow = sample_secret(),
	    .family = IP_FAMILY_4,
	    .ttls = {64, 64},
	    .port = SAMPLE_TARGET_PORT,
	};
}

struct scan sample_indexed_scan(enum ip_family family)
{
	static const uint8_t key[PERMUTATION_KEY_BYTES] = "permute";
	struct scan scan = sample_direct_scan();

	scan.family = family;
	scan.order = permutation(key);
	scan.targets = (struct target_file){
	    .records = family == IP_FAMILY_6 ? records_6[0] : records_4[0],
	    .count = SAMPLE_RECORDS,
	    .family = family,
	};
	return scan;
}

struct scan sample_trace(enum ip_family family)
{
	struct scan scan = sample_indexed_scan(family);

	scan.method = METHOD_TRACE;
	scan.ttls = (struct ttl_range){3, 9};
	return scan;
}

struct target sample_target(void)
{
	return (struct target){.address = ip_address_4(SAMPLE_TARGET_ADDRESS),
			       .port = SAMPLE_TARGET_PORT};
}

static struct ip_address address_6(const char *text)
{
	uint8_t bytes[16];

	inet_pton(AF_INET6, text, bytes);
	return ip_address_6(bytes);
}

static struct ip_address address_of(const struct scan *scan, uint32_t ipv4,
				    const char *ipv6)
{
	return scan->family == IP_FAMILY_6 ? address_6(ipv6) : ip_address_4(ipv4);
}

struct target sample_target_of(const struct scan *scan)
{
	uint32_t ttls = ttl_count(scan->ttls);

	return (struct target){
	    .address = address_of(scan, SAMPLE_TARGET_ADDRESS, SAMPLE_TARGET_ADDRESS_6),
	    .port = SAMPLE_TARGET_PORT,
	    .index = scan->targets.count > 0 ? SAMPLE_INDEX * ttls + ttls / 2 : 0,
	};
}

struct ip_address sample_our_address(const struct scan *scan)
{
	return address_of(scan, SAMPLE_OUR_ADDRESS, SAMPLE_OUR_ADDRESS_6);
}

struct ip_address sample_router_address(const struct scan *scan)
{
	return address_of(scan, SAMPLE_ROUTER_ADDRESS, SAMPLE_ROUTER_ADDRESS_6);
}

size_t sample_ip_bytes(const struct scan *scan)
{
	return scan->family == IP_FAMILY_6 ? 40 : 20;
}

/* Returns where the payload goes. */
static uint8_t *store_ip(const struct scan *scan, uint8_t *at, size_t payload,
			 uint8_t protocol, struct ip_address source,
			 struct ip_address destination)
{
	if (scan->family == IP_FAMILY_6) {
		memset(at, 0, 40);
		at[0] = 0x60;
		store_u16(at + 4, (uint16_t)payload);
		at[6] = protocol;
		at[7] = SAMPLE_TTL;
		store_address_6(at + 8, source);
		store_address_6(at + 24, destination);
		return at + 40;
	}
	memset(at, 0, 20);
	at[0] = 0x45;
	store_u16(at + 2, (uint16_t)(20 + payload));
	at[8] = SAMPLE_TTL;
	at[9] = protocol;
	store_address_4(at + 12, source);
	store_address_4(at + 16, destination);
	return at + 20;
}

size_t sample_tcp(const struct scan *scan, uint8_t *packet, uint8_t flags,
		  const uint8_t *options, size_t length)
{
	struct target target = sample_target_of(scan);
	struct probe_state sent = scan_probe_state(scan, &target);
	uint8_t *tcp = store_ip(scan, packet, TCP_BYTES + length, 6, target.address,
				sample_our_address(scan));

	memset(tcp, 0, TCP_BYTES);
	store_u16(tcp, SAMPLE_TARGET_PORT);
	store_u16(tcp + 2, sent.source_port);
	store_u32(tcp + 4, SAMPLE_SEQ);
	store_u32(tcp + 8, sent.seq + 1);
	tcp[12] = (uint8_t)((5 + length / 4) << 4);
	tcp[13] = flags;
	store_u16(tcp + 14, SAMPLE_WINDOW);
	if (length > 0)
		memcpy(tcp + TCP_BYTES, options, length);
	return (size_t)(tcp - packet) + TCP_BYTES + length;
}

size_t sample_icmp(const struct scan *scan, uint8_t *packet, uint8_t type, uint8_t code,
		   size_t quoted_bytes)
{
	struct target target = sample_target_of(scan);
	struct probe_state sent = scan_probe_state(scan, &target);
	uint8_t *icmp = store_ip(scan, packet, ICMP_BYTES + quoted_bytes,
				 scan->family == IP_FAMILY_6 ? 58 : 1,
				 sample_router_address(scan), sample_our_address(scan));
	uint8_t *quote = icmp + ICMP_BYTES;
	uint8_t *tcp = store_ip(scan, quote, TCP_BYTES + QUOTED_OPTIONS_BYTES, 6,
				sample_our_address(scan), target.address);

	memset(icmp, 0, ICMP_BYTES);
	icmp[0] = type;
	icmp[1] = code;
	memset(tcp, 0, TCP_BYTES);
	store_u16(tcp, sent.source_port);
	store_u16(tcp + 2, SAMPLE_TARGET_PORT);
	store_u32(tcp + 4, sent.seq);
	tcp[12] = (TCP_BYTES + QUOTED_OPTIONS_BYTES) / 4 << 4;
	tcp[13] = TCP_FLAG_SYN;
	store_u32(tcp + TCP_BYTES, 0x1e040101);
	return (size_t)(quote - packet) + quoted_bytes;
}
