/*
 * The probe modules inside ZMap 4: add-to-zmap.sh puts this file, wire/, row/ and
 * zmap_fields.h (beside row.h) into ZMap's source tree. ZMap calls back in the order of
 * the functions below.
 */
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <stdlib.h>
#include <string.h>

#include "../row/row.h"
#include "../wire/counts.h"
#include "../wire/hex.h"
#include "../wire/reply.h"
#include "../wire/scan.h"
#include "../wire/store.h"

#include "probe_modules/probe_modules.h"
#include "state.h"

/* ZMap's defaults, whether --source-port names them or not. */
#define ZMAP_SOURCE_PORT_FIRST 32768
#define ZMAP_SOURCE_PORT_LAST 61000

/* Written by global_initialize, before there are threads; read-only from then on. */
static struct scan scan;
static char pcap_filter[SCAN_PCAP_FILTER_BYTES];

/* Of the receive thread. `reply` goes from validate_packet to process_packet. */
static struct reply reply;
static struct reply_counts counts;

extern probe_module_t module_mptcp_synscan, module_mptcp_trace;

/* ZMap would add a second line to a failure that global_initialize returns. */
static _Noreturn void refuse(const char *reason)
{
	fprintf(stderr, "%s: %s\n", scan_module_name(&scan), reason);
	exit(EXIT_FAILURE);
}

static void refuse_settings(const struct state_conf *conf)
{
	if (conf->ports->port_count != 1)
		refuse("a scan has one target port: give one to --target-ports, and scan "
		       "each port by itself");
	if (conf->source_port_first != ZMAP_SOURCE_PORT_FIRST ||
	    conf->source_port_last != ZMAP_SOURCE_PORT_LAST)
		refuse("--source-port cannot be chosen: "
		       "each target has its own, derived from a secret, in 32768-65535");
	if (conf->probe_ttl != IPDEFTTL)
		refuse("--probe-ttl cannot be chosen: probes of a scan have a Linux "
		       "client's, 64, those of mptcp_trace what ttl=FIRST-LAST says");
	if (conf->send_ip_pkts)
		refuse("--iplayer does not work: ZMap 4 then misjudges how much of a "
		       "packet was captured");
	/* It goes by a port that ZMap reads where IPv6 packets have something else. */
	if (conf->dedup_method == DEDUP_METHOD_WINDOW)
		refuse("--dedup-method=window does not work: leave it away, or give full "
		       "or none");
}

static void open_scan(const struct state_conf *conf)
{
	char error[SCAN_ERROR_BYTES];

	switch (scan_open(&scan, scan.method, conf->probe_args, conf->ports->ports[0],
			  error)) {
	case SCAN_OK:
		return;
	case SCAN_HELP_ASKED:
		fputs(PROBE_ARGS_HELP, stdout);
		exit(EXIT_SUCCESS);
	case SCAN_BAD:
		refuse(error);
	}
}

static void check_index_set(const struct state_conf *conf)
{
	char error[SCAN_ERROR_BYTES];
	const char *listed = conf->allowlist_filename;

	/* --list-of-ips-file leaves out parts of the set that conf counts. */
	if (listed == NULL)
		listed = conf->list_of_ips_filename;
	if (!scan_check_index_set(&scan, conf->destination_cidrs,
				  conf->destination_cidrs_len, listed,
				  conf->total_allowed, error))
		refuse(error);
}

static int initialize(struct state_conf *conf, enum scan_method method,
		      probe_module_t *module)
{
	scan.method = method; /* which names the module in what is refused */
	refuse_settings(conf);
	open_scan(conf);
	check_index_set(conf);

	/* For the metadata file, which reports them. */
	conf->source_port_first = SOURCE_PORT_FIRST;
	conf->source_port_last = SOURCE_PORT_LAST;

	scan_pcap_filter(&scan, pcap_filter, sizeof pcap_filter);
	module->pcap_filter = pcap_filter;
	module->max_packet_length = ETHER_HDR_LEN + scan.syn.length;
	return EXIT_SUCCESS;
}

static int initialize_synscan(struct state_conf *conf)
{
	return initialize(conf, METHOD_SYNSCAN, &module_mptcp_synscan);
}

static int initialize_trace(struct state_conf *conf)
{
	return initialize(conf, METHOD_TRACE, &module_mptcp_trace);
}

/* Once for every buffer that make_packet will get: what is the same in all frames. */
static int prepare_packet(void *buffer, macaddr_t *source_mac, macaddr_t *gateway_mac,
			  void *arg)
{
	uint8_t *frame = buffer;

	(void)arg;
	memcpy(frame, gateway_mac, ETHER_ADDR_LEN);
	memcpy(frame + ETHER_ADDR_LEN, source_mac, ETHER_ADDR_LEN);
	store_u16(frame + 2 * ETHER_ADDR_LEN, scan_ethertype(&scan));
	return EXIT_SUCCESS;
}

/* TTL and IP identification are the scan's own, as the port and the validation are. */
static int make_packet(void *buffer, size_t *length, ipaddr_n_t source,
		       ipaddr_n_t destination, port_n_t port, uint8_t ttl,
		       uint32_t *validation, int probe_number, uint16_t ip_id, void *arg)
{
	size_t packet_length = scan_make_syn(&scan, (uint8_t *)buffer + ETHER_HDR_LEN,
					     ntohl(source), ntohl(destination));

	(void)port;
	(void)ttl;
	(void)validation;
	(void)probe_number;
	(void)ip_id;
	(void)arg;
	/* ZMap ignores our result, and one empty frame would spoil a batch. */
	if (packet_length == 0)
		refuse("ZMap went beyond the target file, whose size it was given");
	*length = ETHER_HDR_LEN + packet_length;
	return EXIT_SUCCESS;
}

/* --dryrun. Read by text2pcap -l 101 -r '^mptcp_[a-z]+ \{ ip: (?<data>[0-9a-f]+) \}$'. */
static void print_packet(FILE *file, void *buffer)
{
	char packet[2 * SYN_MAX_BYTES + 1];

	hex_encode((uint8_t *)buffer + ETHER_HDR_LEN, scan.syn.length, packet);
	fprintf(file, "%s { ip: %s }\n", scan_module_name(&scan), packet);
}

/*
 * *source becomes the key of ZMap's duplicate detection: the probe, also for ICMP.
 *
 * ZMap's `length` supposes an Ethernet header, whatever the interface has in its place.
 */
static int validate_packet(const struct ip *packet, uint32_t length, uint32_t *source,
			   uint32_t *validation, const struct port_conf *ports)
{
	size_t captured = length + ETHER_HDR_LEN - (size_t)zconf.data_link_size;
	enum reply_status status =
	    reply_parse(&scan, (const uint8_t *)packet, captured, &reply);

	(void)validation;
	(void)ports;
	counts_add(&counts, status);
	if (status != REPLY_ACCEPTED)
		return 0;
	*source = htonl(scan_duplicate_key(&scan, &reply.target));
	return 1;
}

static void process_packet(const u_char *frame, uint32_t length, fieldset_t *fs,
			   uint32_t *validation, const struct timespec time)
{
	(void)frame;
	(void)length;
	(void)validation;
	(void)time;
	row_add(fs, &scan, &reply);
}

/* ZMap sends by itself, and its metadata tell how much. */
static int close_scan(struct state_conf *conf, struct state_send *send,
		      struct state_recv *recv)
{
	(void)conf;
	(void)send;
	(void)recv;
	counts_print(stderr, scan_module_name(&scan), &counts, NULL, NULL);
	return EXIT_SUCCESS;
}

#define SHARED_CALLBACKS                                                                 \
	.pcap_snaplen = CAPTURE_BYTES, .port_args = 1, .prepare_packet = prepare_packet, \
	.make_packet = make_packet, .print_packet = print_packet,                        \
	.validate_packet = validate_packet, .process_packet = process_packet,            \
	.close = close_scan, .output_type = OUTPUT_TYPE_STATIC, .fields = row_fields

probe_module_t module_mptcp_synscan = {
    SHARED_CALLBACKS,
    .name = "mptcp_synscan",
    .global_initialize = initialize_synscan,
    .numfields = ROW_FIELD_COUNT,
    .helptext = SYNSCAN_HELP,
};

probe_module_t module_mptcp_trace = {
    SHARED_CALLBACKS,
    .name = "mptcp_trace",
    .global_initialize = initialize_trace,
    .numfields = TRACE_ROW_FIELD_COUNT,
    .helptext = TRACE_HELP,
};
