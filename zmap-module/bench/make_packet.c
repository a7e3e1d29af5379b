/*
 * What a packet costs in make_packet: tcp_synscan's and ours, inside the real ZMap, in one
 * process, over the same random targets in turn. Preloaded in front of the plug-in:
 *
 *	LD_PRELOAD=make_packet.so:mptcp.so IPV6_TARGETS=FILE zmap 1.0.0.0/10
 *
 * FILE holds 2^22 IPv6 targets; their index set is the argument, because the module looks
 * for it there. main() is never reached.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../wire/index_set.h"
#include "../zmap211/abi.h"

#define ROUNDS 7
#define CALLS (1u << 19)
#define STEPPED_CALLS 16u
#define INDEX_BITS 22

struct contender {
	const char *name;
	int module; /* its place among ZMap's */
	const char *probe_args;
	bool indexed;
	double ns[ROUNDS];
};

static uint32_t random_words[CALLS + 4];
static uint8_t frame[MAX_PACKET_SIZE];
static void *thread_data;

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "make_packet: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

/* xorshift32 (Marsaglia 2003). */
static void fill_random_words(void)
{
	uint32_t x = 2463534242u;

	for (size_t i = 0; i < sizeof random_words / sizeof random_words[0]; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		random_words[i] = x;
	}
}

/* What ZMap does between reading its arguments and the first packet. */
static void prepare(const struct contender *contender)
{
	static char index_set[] = "1.0.0.0/10";
	static char *cidrs[] = {index_set};
	static char probe_args[512];
	struct probe_module *module = probe_modules[contender->module];
	uint8_t mac[MAC_ADDR_LEN_BYTES] = {2};

	snprintf(probe_args, sizeof probe_args, "%s", contender->probe_args);
	zconf.probe_args = probe_args;
	zconf.target_port = 443;
	zconf.source_port_first = 32768;
	zconf.source_port_last = 61000;
	zconf.senders = 1;
	zconf.dryrun = 1;
	zconf.destination_cidrs = cidrs;
	zconf.destination_cidrs_len = 1;
	zconf.total_allowed = 1u << INDEX_BITS;
	module->global_initialize(&zconf);
	module->thread_initialize(frame, mac, mac, 443, &thread_data);
}

static void make_packets(const struct contender *contender, uint32_t calls)
{
	struct probe_module *module = probe_modules[contender->module];

	for (uint32_t i = 0; i < calls; i++) {
		uint32_t target = random_words[i];

		if (contender->indexed)
			target = INDEX_BASE + (target >> (32 - INDEX_BITS));
		module->make_packet(frame, htonl(0xc0000201), htonl(target),
				    &random_words[i], 0, thread_data);
	}
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double time_packets(const struct contender *contender)
{
	double start;

	prepare(contender);
	make_packets(contender, CALLS);
	start = now_ns();
	make_packets(contender, CALLS);
	return (now_ns() - start) / CALLS;
}

/* Single steps of a child that makes packets and ends; 0 if it cannot be traced. */
static unsigned long steps(const struct contender *contender, uint32_t calls)
{
	unsigned long count = 0;
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(EXIT_FAILURE);
		raise(SIGSTOP);
		make_packets(contender, calls);
		_exit(EXIT_SUCCESS);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		give_up("child");
	for (; WIFSTOPPED(status); count++) {
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 ||
		    waitpid(child, &status, 0) != child)
			give_up("single step");
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? count : 0;
}

/* Counted, not sampled: works where virtual machines have no performance counters. */
static void print_instructions(const struct contender *contender)
{
	unsigned long none, some;

	prepare(contender);
	make_packets(contender, STEPPED_CALLS);
	none = steps(contender, 0);
	some = steps(contender, STEPPED_CALLS);
	if (none == 0 || some == 0)
		printf("  not countable here (ptrace refused)\n");
	else
		printf(" %12.0f\n", (double)(some - none) / STEPPED_CALLS);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void compare(struct contender *contenders, size_t count)
{
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < count; i++)
			contenders[i].ns[round] = time_packets(&contenders[i]);
	}
	printf("%-14s %8s %8s %8s %12s\n", "make_packet", "min ns", "median", "max",
	       "instructions");
	for (size_t i = 0; i < count; i++) {
		double *ns = contenders[i].ns;

		qsort(ns, ROUNDS, sizeof *ns, by_value);
		printf("%-14s %8.1f %8.1f %8.1f", contenders[i].name, ns[0],
		       ns[ROUNDS / 2], ns[ROUNDS - 1]);
		fflush(stdout);
		print_instructions(&contenders[i]);
	}
}

__attribute__((constructor)) static void bench(void)
{
	char ipv6_args[512];
	struct contender contenders[] = {
	    {.name = "tcp_synscan", .module = 0, .probe_args = ""},
	    {.name = "v0", .module = 5, .probe_args = "probe=v0"},
	    {.name = "v1", .module = 5, .probe_args = "probe=v1"},
	    {.name = "ipv6", .module = 5, .probe_args = ipv6_args, .indexed = true},
	};

	if (strcmp(program_invocation_short_name, "zmap") != 0)
		return;
	if (probe_modules == NULL || getenv("IPV6_TARGETS") == NULL ||
	    strcmp(probe_modules[5]->name, "mptcp_synscan") != 0)
		give_up("not run as its comment says");
	snprintf(ipv6_args, sizeof ipv6_args, "probe=v1,source=2001:db8::1,targets=%s",
		 getenv("IPV6_TARGETS"));
	fill_random_words();
	compare(contenders, sizeof contenders / sizeof contenders[0]);
	exit(EXIT_SUCCESS);
}
