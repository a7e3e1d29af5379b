#include "module.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../wire/hex.h"
#include "../wire/keys.h"
#include "../wire/probe_args.h"
#include "../wire/probe_state.h"
#include "../wire/reply.h"
#include "../wire/syn.h"
#include "row.h"

#define ETHERNET_HEADER_BYTES 14

/* ZMap's defaults, whether --source-port names them or not. */
#define ZMAP_SOURCE_PORT_FIRST 32768
#define ZMAP_SOURCE_PORT_LAST 61000

/* Written by global_initialize, before there are threads; read-only from then on. */
static struct {
	struct probe_args args;
	struct siphash_key secret;
	struct syn_template syn;
	uint16_t target_port;
	char pcap_filter[256];
} scan;

/* From validate_packet to process_packet, which ZMap calls one after the other. */
static struct reply reply;

static _Noreturn void refuse(const char *reason)
{
	fprintf(stderr, MODULE_NAME ": %s\n", reason);
	exit(EXIT_FAILURE);
}

static void read_probe_args(const char *text)
{
	char error[PROBE_ARGS_ERROR_BYTES];

	switch (probe_args_parse(text, &scan.args, error)) {
	case PROBE_ARGS_OK:
		return;
	case PROBE_ARGS_HELP_ASKED:
		fputs(PROBE_ARGS_HELP, stdout);
		exit(EXIT_SUCCESS);
	case PROBE_ARGS_BAD:
		fprintf(stderr, MODULE_NAME ": --probe-args: %s\n", error);
		exit(EXIT_FAILURE);
	}
}

static void claim_source_ports(struct state_conf *conf)
{
	if (conf->source_port_first != ZMAP_SOURCE_PORT_FIRST ||
	    conf->source_port_last != ZMAP_SOURCE_PORT_LAST)
		refuse("--source-port cannot be chosen: "
		       "each target has its own, derived from a secret, in 32768-65535");
	/* For the metadata file, which reports them. */
	conf->source_port_first = SOURCE_PORT_FIRST;
	conf->source_port_last = SOURCE_PORT_LAST;
}

static void random_bytes(void *bytes, size_t length)
{
	if (getrandom(bytes, length, 0) != (ssize_t)length)
		refuse("the kernel gave no random bytes");
}

static void build_pcap_filter(uint16_t target_port)
{
	snprintf(scan.pcap_filter, sizeof scan.pcap_filter,
		 "ip and ((tcp src port %u and tcp dst portrange %u-%u and "
		 "(tcp[13] & 0x12 = 0x12 or tcp[13] & 0x04 != 0)) or icmp[0] = 3)",
		 target_port, SOURCE_PORT_FIRST, SOURCE_PORT_LAST);
}

/* ZMap ignores the result: what must not go on ends the process, before any packet. */
static int global_initialize(struct state_conf *conf)
{
	uint8_t secret[SIPHASH_KEY_BYTES];
	uint32_t ts_value;

	read_probe_args(conf->probe_args);
	claim_source_ports(conf);
	if (conf->send_ip_pkts)
		refuse("--vpn does not work: the receiver of ZMap 2.1.1 needs Ethernet "
		       "frames");
	random_bytes(secret, sizeof secret);
	/* Linux offsets its clock at random too; a probe needs no clock behind it. */
	random_bytes(&ts_value, sizeof ts_value);

	scan.secret = siphash_key(secret);
	scan.target_port = conf->target_port;
	scan.syn =
	    syn_template(scan.args.probe, scan.args.options, conf->target_port, ts_value);
	build_pcap_filter(conf->target_port);
	mptcp_synscan.pcap_filter = scan.pcap_filter;
	mptcp_synscan.packet_length = ETHERNET_HEADER_BYTES + scan.syn.length;
	return EXIT_SUCCESS;
}

static int thread_initialize(void *buffer, uint8_t *source_mac, uint8_t *gateway_mac,
			     uint16_t target_port, void **arg)
{
	static const uint8_t ethertype_ipv4[2] = {0x08, 0x00};
	uint8_t *frame = buffer;

	(void)target_port;
	*arg = NULL;
	memset(frame, 0, MAX_PACKET_SIZE);
	memcpy(frame, gateway_mac, MAC_ADDR_LEN_BYTES);
	memcpy(frame + MAC_ADDR_LEN_BYTES, source_mac, MAC_ADDR_LEN_BYTES);
	memcpy(frame + 2 * MAC_ADDR_LEN_BYTES, ethertype_ipv4, sizeof ethertype_ipv4);
	memcpy(frame + ETHERNET_HEADER_BYTES, scan.syn.packet, scan.syn.length);
	return EXIT_SUCCESS;
}

static uint64_t key_sent_to(struct target target)
{
	if (scan.args.probe != PROBE_V0)
		return 0;
	return sender_key(&scan.args.key, &scan.secret, target);
}

static int make_packet(void *buffer, uint32_t source, uint32_t destination,
		       uint32_t *validation, int probe_number, void *arg)
{
	struct target target = {.address = ntohl(destination), .port = scan.target_port};
	struct probe_state state = probe_state(&scan.secret, target);

	(void)validation;
	(void)probe_number;
	(void)arg;
	syn_fill(&scan.syn, (uint8_t *)buffer + ETHERNET_HEADER_BYTES, ntohl(source),
		 target, &state, key_sent_to(target));
	return EXIT_SUCCESS;
}

/* --dryrun. Read by text2pcap -l 101 -r '^mptcp_synscan \{ ip: (?<data>[0-9a-f]+) \}$'. */
static void print_packet(FILE *file, void *buffer)
{
	char packet[2 * SYN_MAX_BYTES + 1];

	hex_encode((uint8_t *)buffer + ETHERNET_HEADER_BYTES, scan.syn.length, packet);
	fprintf(file, MODULE_NAME " { ip: %s }\n", packet);
}

/* *source becomes the key of ZMap's duplicate detection: the target, also for ICMP. */
static int validate_packet(const void *packet, uint32_t length, uint32_t *source,
			   uint32_t *validation)
{
	(void)validation;
	if (reply_parse(packet, length, &scan.secret, scan.target_port, &reply) !=
	    REPLY_ACCEPTED)
		return 0;
	*source = htonl(reply.target.address);
	return 1;
}

static void process_packet(const unsigned char *frame, uint32_t length,
			   struct fieldset *fs)
{
	(void)frame;
	(void)length;
	row_add(fs, &reply, scan.args.probe, key_sent_to(reply.target));
}

struct probe_module mptcp_synscan = {
    .name = MODULE_NAME,
    .pcap_snaplen = CAPTURE_BYTES,
    .port_args = 1,
    .global_initialize = global_initialize,
    .thread_initialize = thread_initialize,
    .make_packet = make_packet,
    .print_packet = print_packet,
    .validate_packet = validate_packet,
    .process_packet = process_packet,
    .fields = row_fields,
    .numfields = ROW_FIELD_COUNT,
    .helptext =
	"Sends a TCP SYN with MP_CAPABLE (Multipath TCP, RFC 6824 and RFC 8684) and\n"
	"reports SYN-ACKs, RSTs and ICMP destination unreachable "
	"messages.\n" PROBE_ARGS_HELP
	"Choose --output-module=json --output-fields=* to get every field.\n",
};
