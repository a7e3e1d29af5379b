/*
 * The binary interface of ZMap 2.1.1 on 64-bit Linux, built with JSON support: as much
 * of it as a probe module meets. The names are ZMap's own: its documentation applies.
 *
 * Functions and data are weak references: in a process that does not export them their
 * address is NULL instead of a failure to start. identify.c looks before any is used.
 */
#ifndef MPCENSUS_ZMAP211_ABI_H
#define MPCENSUS_ZMAP211_ABI_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define WEAK __attribute__((weak))

/* Of the buffer that thread_initialize and make_packet get. */
#define MAX_PACKET_SIZE 4096
#define MAC_ADDR_LEN_BYTES 6
#define MAX_FIELDS 128

struct field_def {
	const char *name;
	/* "int" or "string": what an --output-filter may compare with. */
	const char *type;
	const char *desc;
};

struct field_def_set {
	struct field_def fields[MAX_FIELDS];
	int len;
};

enum field_type { FS_STRING = 0, FS_UINT64 = 1, FS_BINARY = 2, FS_NULL = 3 };

struct field {
	const char *name;
	int type;
	int free_; /* whether ZMap calls free() on a string after the row */
	size_t len;
	union {
		void *ptr;
		uint64_t num;
	} value;
};

/* ZMap finds a field by its place among the definitions, not by its name. */
struct fieldset {
	int len;
	struct field fields[MAX_FIELDS];
};

struct field_translation {
	int len;
	int translation[MAX_FIELDS];
};

struct state_conf {
	int log_level;
	uint16_t target_port, source_port_first, source_port_last;
	uint32_t max_targets, max_runtime, max_results;
	char *iface;
	int rate;
	uint64_t bandwidth;
	int cooldown_secs;
	uint8_t senders;
	uint32_t pin_cores_len;
	uint32_t *pin_cores;
	int use_seed;
	uint64_t seed;
	void *aes;
	uint32_t generator;
	uint8_t shard_num, total_shards;
	int packet_streams;
	void *probe_module, *output_module;
	char *probe_args, *output_args;
	uint8_t gw_mac[MAC_ADDR_LEN_BYTES], hw_mac[MAC_ADDR_LEN_BYTES];
	uint32_t gw_ip;
	int gw_mac_set, hw_mac_set;
	int send_ip_pkts; /* --vpn: frames without an Ethernet header */
	char *source_ip_first, *source_ip_last;
	char *output_filename, *blacklist_filename, *whitelist_filename;
	char *metadata_filename;
	FILE *metadata_file;
	char *notes, *custom_metadata_str;
	char **destination_cidrs;
	int destination_cidrs_len;
	char *raw_output_fields;
	char **output_fields;
	void *filter;
	char *output_filter_str;
	struct {
		struct field_def_set defs, outdefs;
		struct field_translation translation;
		int success_index, app_success_index, classification_index;
	} fsconf;
	int output_fields_len;
	char *log_file, *log_directory, *status_updates_file;
	int dryrun, quiet, ignore_invalid_hosts, syslog;
	int filter_duplicates, filter_unsuccessful;
	int recv_ready, num_retries;
	uint64_t total_allowed, total_disallowed;
	int max_sendto_failures;
	float min_hitrate;
};

struct probe_module {
	const char *name;
	/* Read anew for every packet sent: one for all threads. */
	size_t packet_length;
	const char *pcap_filter;
	size_t pcap_snaplen;
	uint8_t port_args;

	/* Once, before any thread exists. Its result is ignored. */
	int (*global_initialize)(struct state_conf *conf);
	/* Once a send thread. The port is in host order. */
	int (*thread_initialize)(void *buffer, uint8_t *source_mac, uint8_t *gateway_mac,
				 uint16_t target_port, void **arg);
	/* Addresses in network order; the result is ignored. */
	int (*make_packet)(void *buffer, uint32_t source, uint32_t destination,
			   uint32_t *validation, int probe_number, void *arg);
	void (*print_packet)(FILE *file, void *buffer);
	/* `packet` starts at the IP header. If not 0, process_packet follows. */
	int (*validate_packet)(const void *packet, uint32_t length, uint32_t *source,
			       uint32_t *validation);
	void (*process_packet)(const unsigned char *frame, uint32_t length,
			       struct fieldset *fs);
	int (*close)(struct state_conf *conf, void *send, void *recv);

	struct field_def *fields;
	int numfields;
	const char *helptext;
};

struct state_send {
	double start, finish;
	uint32_t sent, blacklisted, whitelisted;
	int warmup, complete;
	uint32_t first_scanned, targets;
	uint32_t sendto_failures; /* by finished threads; the monitor reads it */
	uint32_t max_index;
};

#define PROBE_MODULE_COUNT 6

extern struct state_conf zconf WEAK;
extern struct state_send zsend WEAK;
extern struct probe_module *probe_modules[PROBE_MODULE_COUNT] WEAK;

/* const, because this module never gives a string away: free_ is always 0. */
void fs_add_string(struct fieldset *fs, const char *name, const char *value,
		   int free_) WEAK;
void fs_add_uint64(struct fieldset *fs, const char *name, uint64_t value) WEAK;
void fs_add_null(struct fieldset *fs, const char *name) WEAK;
void fs_modify_string(struct fieldset *fs, const char *name, const char *value,
		      int free_) WEAK;
void fs_modify_uint64(struct fieldset *fs, const char *name, uint64_t value) WEAK;
void fs_modify_null(struct fieldset *fs, const char *name) WEAK;

#endif
