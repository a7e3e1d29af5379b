#ifndef STATE_H
#define STATE_H

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

#include "fieldset.h"

#define DEDUP_METHOD_WINDOW 3

typedef uint32_t ipaddr_n_t;
typedef uint16_t port_n_t;
typedef unsigned char macaddr_t;

struct port_conf {
	unsigned port_count;
	uint16_t ports[65536];
};

struct state_conf {
	struct port_conf *ports;
	uint16_t source_port_first, source_port_last;
	char *probe_args;
	uint8_t probe_ttl;
	int send_ip_pkts;
	char *allowlist_filename, *list_of_ips_filename;
	char **destination_cidrs;
	int destination_cidrs_len;
	uint64_t total_allowed;
	int data_link_size;
	int dedup_method;
};
extern struct state_conf zconf;

struct state_send;
struct state_recv;

#endif
