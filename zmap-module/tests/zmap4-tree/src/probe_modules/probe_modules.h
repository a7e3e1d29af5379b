#ifndef PROBE_MODULES_H
#define PROBE_MODULES_H

#include "../fieldset.h"
#include "../state.h"

#define OUTPUT_TYPE_STATIC 1

typedef struct probe_module {
	const char *name;
	size_t max_packet_length;
	const char *pcap_filter;
	size_t pcap_snaplen;
	uint8_t port_args;
	int (*global_initialize)(struct state_conf *conf);
	int (*thread_initialize)(void **arg);
	int (*prepare_packet)(void *buffer, macaddr_t *source_mac, macaddr_t *gateway_mac,
			      void *arg);
	int (*make_packet)(void *buffer, size_t *length, ipaddr_n_t source,
			   ipaddr_n_t destination, port_n_t port, uint8_t ttl,
			   uint32_t *validation, int probe_number, uint16_t ip_id,
			   void *arg);
	void (*print_packet)(FILE *file, void *buffer);
	int (*validate_packet)(const struct ip *packet, uint32_t length, uint32_t *source,
			       uint32_t *validation, const struct port_conf *ports);
	void (*process_packet)(const u_char *frame, uint32_t length, fieldset_t *fs,
			       uint32_t *validation, const struct timespec time);
	int (*close)(struct state_conf *conf, struct state_send *send,
		     struct state_recv *recv);
	int output_type;
	fielddef_t *fields;
	int numfields;
	const char *helptext;
} probe_module_t;

#endif
