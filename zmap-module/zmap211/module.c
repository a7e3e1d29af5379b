#include "module.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "../row/row.h"
#include "../wire/counts.h"
#include "../wire/hex.h"
#include "../wire/reply.h"
#include "../wire/scan.h"
#include "sender.h"

/* ZMap's defaults, whether --source-port names them or not. */
#define ZMAP_SOURCE_PORT_FIRST 32768
#define ZMAP_SOURCE_PORT_LAST 61000

/* Written by global_initialize, before there are threads; read-only from then on. */
static struct scan scan;
static bool dryrun;
static char pcap_filter[SCAN_PCAP_FILTER_BYTES];

/* The receive thread's. `reply` goes from validate_packet to the process_packet after it. */
static struct reply_counts counts;
static struct reply reply;

const char *module_name(void)
{
	return scan_module_name(&scan);
}

static _Noreturn void refuse(const char *reason)
{
	fprintf(stderr, "%s: %s\n", module_name(), reason);
	exit(EXIT_FAILURE);
}

static void open_scan(const struct state_conf *conf, enum scan_method method)
{
	char error[SCAN_ERROR_BYTES];

	switch (scan_open(&scan, method, conf->probe_args, conf->target_port, error)) {
	case SCAN_OK:
		break;
	case SCAN_HELP_ASKED:
		fputs(PROBE_ARGS_HELP, stdout);
		exit(EXIT_SUCCESS);
	case SCAN_BAD:
		refuse(error);
	}
	if (!scan_check_index_set(&scan, conf->destination_cidrs,
				  conf->destination_cidrs_len, conf->whitelist_filename,
				  conf->total_allowed, error))
		refuse(error);
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

static size_t build_packet(uint8_t *packet, uint32_t source, uint32_t destination)
{
	return scan_make_syn(&scan, packet, source, destination);
}

/*
 * ZMap ignores the result: what must not go on ends the process, before any packet. Files
 * are opened here, because ZMap gives up root soon after.
 */
static int initialize(struct state_conf *conf, enum scan_method method,
		      struct probe_module *module)
{
	open_scan(conf, method);
	claim_source_ports(conf);
	if (conf->send_ip_pkts)
		refuse("--vpn does not work: the receiver of ZMap 2.1.1 needs Ethernet "
		       "frames");
	scan_pcap_filter(&scan, pcap_filter, sizeof pcap_filter);
	module->pcap_filter = pcap_filter;
	module->packet_length = ETHERNET_HEADER_BYTES + scan.syn.length;
	dryrun = conf->dryrun;
	sender_configure(conf, build_packet);
	return EXIT_SUCCESS;
}

static int initialize_synscan(struct state_conf *conf)
{
	return initialize(conf, METHOD_SYNSCAN, &mptcp_synscan);
}

static int initialize_trace(struct state_conf *conf)
{
	return initialize(conf, METHOD_TRACE, &mptcp_trace);
}

static int thread_initialize(void *buffer, uint8_t *source_mac, uint8_t *gateway_mac,
			     uint16_t target_port, void **arg)
{
	uint8_t *frame = buffer;

	(void)target_port;
	sender_take_rate();
	*arg = NULL;
	memset(frame, 0, MAX_PACKET_SIZE);
	memcpy(frame, gateway_mac, MAC_ADDR_LEN_BYTES);
	memcpy(frame + MAC_ADDR_LEN_BYTES, source_mac, MAC_ADDR_LEN_BYTES);
	store_u16(frame + 2 * MAC_ADDR_LEN_BYTES, scan_ethertype(&scan));
	return EXIT_SUCCESS;
}

/* The sender builds the packet when its turn to be sent has come. */
static int make_packet(void *buffer, uint32_t source, uint32_t destination,
		       uint32_t *validation, int probe_number, void *arg)
{
	(void)validation;
	(void)probe_number;
	(void)arg;
	if (dryrun) {
		build_packet((uint8_t *)buffer + ETHERNET_HEADER_BYTES, ntohl(source),
			     ntohl(destination));
		return EXIT_SUCCESS;
	}
	scan_prefetch(&scan, ntohl(destination));
	sender_note(ntohl(source), ntohl(destination));
	return EXIT_SUCCESS;
}

/* --dryrun. Read by text2pcap -l 101 -r '^mptcp_[a-z]+ \{ ip: (?<data>[0-9a-f]+) \}$'. */
static void print_packet(FILE *file, void *buffer)
{
	char packet[2 * SYN_MAX_BYTES + 1];

	hex_encode((uint8_t *)buffer + ETHERNET_HEADER_BYTES, scan.syn.length, packet);
	fprintf(file, "%s { ip: %s }\n", module_name(), packet);
}

/* *source becomes the key of ZMap's duplicate detection: the probe, also for ICMP. */
static int validate_packet(const void *packet, uint32_t length, uint32_t *source,
			   uint32_t *validation)
{
	enum reply_status status = reply_parse(&scan, packet, length, &reply);

	(void)validation;
	counts_add(&counts, status);
	if (status != REPLY_ACCEPTED)
		return 0;
	*source = htonl(scan_duplicate_key(&scan, &reply.target));
	return 1;
}

static void process_packet(const unsigned char *frame, uint32_t length,
			   struct fieldset *fs)
{
	(void)frame;
	(void)length;
	row_add(fs, &scan, &reply);
}

/* When the send threads and the receive thread have ended. */
static int close_scan(struct state_conf *conf, void *send, void *recv)
{
	struct sender_counts sent = sender_counts();

	(void)conf;
	(void)send;
	(void)recv;
	counts_print(stderr, module_name(), &counts, &sent.packets_sent,
		     &sent.send_failures);
	return EXIT_SUCCESS;
}

#define SHARED_CALLBACKS                                                                 \
	.pcap_snaplen = CAPTURE_BYTES, .port_args = 1,                                   \
	.thread_initialize = thread_initialize, .make_packet = make_packet,              \
	.print_packet = print_packet, .validate_packet = validate_packet,                \
	.process_packet = process_packet, .close = close_scan, .fields = row_fields

struct probe_module mptcp_synscan = {
    SHARED_CALLBACKS,
    .name = "mptcp_synscan",
    .global_initialize = initialize_synscan,
    .numfields = ROW_FIELD_COUNT,
    .helptext = SYNSCAN_HELP,
};

struct probe_module mptcp_trace = {
    SHARED_CALLBACKS,
    .name = "mptcp_trace",
    .global_initialize = initialize_trace,
    .numfields = TRACE_ROW_FIELD_COUNT,
    .helptext = TRACE_HELP,
};
