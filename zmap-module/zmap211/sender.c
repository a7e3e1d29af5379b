#define _GNU_SOURCE
#include "sender.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "../wire/syn.h"
#include "module.h"
#include "tx_ring.h"

/* docs/benchmarks.md: larger batches bring nothing more. */
#define BATCH_MAX 64u

/* Below this rate of a thread ZMap 2.1.1 sleeps itself. */
#define ZMAP_SLEEPS_BELOW 50

/* How late a batch may be and those after it still make up for it. */
#define CATCH_UP_NS 10000000

#define SECOND_NS 1000000000

/* What ZMap 2.1.1 takes for --max-sendto-failures if it is not given. */
#define UNDOCUMENTED_FAILURE_LIMIT 1

_Static_assert(ETHERNET_HEADER_BYTES + SYN_MAX_BYTES <= TX_RING_FRAME_MAX_BYTES,
	       "every frame fits");
_Static_assert(BATCH_MAX <= TX_RING_SLOTS, "every batch fits");

struct probe {
	uint32_t source, destination;
};

/* What one send thread has on its way to the kernel. */
struct lane {
	struct tx_ring ring;
	uint8_t ethernet_header[ETHERNET_HEADER_BYTES];
	struct probe noted[BATCH_MAX];
	unsigned count, batch;
	int64_t due; /* CLOCK_MONOTONIC, ns: when the next batch may go */
};

/* Written before there are threads. */
static struct state_conf *configuration;
static int taken_rate; /* 0: ZMap keeps the rate, or there is none to keep */
static sender_build *build_packet;
static pthread_key_t lane_of_thread;

static _Atomic uint64_t packets_sent, send_failures;

static _Thread_local struct lane *this_lane;
/* From make_packet to the sendto() that follows it in the same thread. */
static _Thread_local bool noted;
static _Thread_local struct probe noted_probe;

static _Noreturn void give_up(const char *what, int error)
{
	fprintf(stderr, "%s: cannot send: %s: %s\n", module_name(), what,
		strerror(error));
	exit(EXIT_FAILURE);
}

/* ZMap's threads add to its counter only when they end, and then 0: they see no error. */
static void count_failures(unsigned frames)
{
	send_failures += frames;
	__atomic_fetch_add(&zsend.sendto_failures, frames, __ATOMIC_RELAXED);
}

static void build_frame(struct lane *lane, struct probe probe)
{
	uint8_t *frame = tx_ring_next(&lane->ring);
	size_t bytes =
	    build_packet(frame + ETHERNET_HEADER_BYTES, probe.source, probe.destination);

	if (bytes == 0) {
		count_failures(1);
		return;
	}
	memcpy(frame, lane->ethernet_header, ETHERNET_HEADER_BYTES);
	tx_ring_add(&lane->ring, ETHERNET_HEADER_BYTES + bytes);
}

static void wait_until_due(struct lane *lane)
{
	struct timespec time;
	int64_t now;

	clock_gettime(CLOCK_MONOTONIC, &time);
	now = time.tv_sec * (int64_t)SECOND_NS + time.tv_nsec;
	if (lane->due < now - CATCH_UP_NS)
		lane->due = now;
	time.tv_sec = lane->due / SECOND_NS;
	time.tv_nsec = lane->due % SECOND_NS;
	/* Interrupted by a signal it ends early, as the scan then does. */
	if (lane->due > now)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
	lane->due +=
	    lane->count * (int64_t)SECOND_NS * configuration->senders / taken_rate;
}

static void flush(struct lane *lane)
{
	struct tx_ring_result result;

	if (taken_rate > 0)
		wait_until_due(lane);
	for (unsigned i = 0; i < lane->count; i++)
		build_frame(lane, lane->noted[i]);
	lane->count = 0;
	result = tx_ring_submit(&lane->ring, configuration->num_retries);
	packets_sent += result.taken;
	if (result.refused > 0)
		count_failures(result.refused);
}

/* At the end of a thread. The ring lives as long as ZMap's socket. */
static void close_lane(void *closing)
{
	flush(closing);
	free(closing);
	/* For ZMap's metadata. */
	if (taken_rate > 0)
		configuration->rate = taken_rate;
}

/* At most a millisecond of frames. ZMap settles the rate after global_initialize. */
static unsigned batch_size(void)
{
	int rate = taken_rate > 0 ? taken_rate : configuration->rate;
	int each_ms = rate / configuration->senders / 1000;

	if (rate <= 0 || each_ms > (int)BATCH_MAX)
		return BATCH_MAX;
	return each_ms > 1 ? (unsigned)each_ms : 1;
}

static struct lane *open_lane(int socket, const void *frame, const struct sockaddr *to)
{
	struct lane *lane = calloc(1, sizeof *lane);
	struct sockaddr_ll interface;
	const char *refused;

	if (lane == NULL)
		give_up("memory", errno);
	memcpy(&interface, to, sizeof interface);
	refused = tx_ring_open(&lane->ring, socket, &interface);
	if (refused != NULL)
		give_up(refused, errno);
	memcpy(lane->ethernet_header, frame, ETHERNET_HEADER_BYTES);
	lane->batch = batch_size();
	pthread_setspecific(lane_of_thread, lane);
	return lane;
}

void sender_configure(struct state_conf *conf, sender_build *build)
{
	int error = pthread_key_create(&lane_of_thread, close_lane);

	if (error != 0)
		give_up("thread key", error);
	/*
	 * ZMap's documentation says no limit. Stock ZMap adds up the failures when its
	 * threads have ended, and gives up at the second in the cooldown; counted as they
	 * happen, they would end the scan at once.
	 */
	if (conf->max_sendto_failures == UNDOCUMENTED_FAILURE_LIMIT)
		conf->max_sendto_failures = -1;
	build_packet = build;
	configuration = conf;
}

bool sender_configured(void)
{
	return configuration != NULL;
}

void sender_take_rate(void)
{
	if (configuration->rate / configuration->senders < ZMAP_SLEEPS_BELOW)
		return;
	taken_rate = configuration->rate;
	configuration->rate = 0;
}

void sender_note(uint32_t source, uint32_t destination)
{
	noted_probe = (struct probe){.source = source, .destination = destination};
	noted = true;
}

struct sender_counts sender_counts(void)
{
	return (struct sender_counts){
	    .packets_sent = packets_sent,
	    .send_failures = send_failures,
	};
}

typedef ssize_t sendto_function(int, const void *, size_t, int, __CONST_SOCKADDR_ARG,
				socklen_t);

/* Looked up once: other probe modules come by here for every packet. */
static sendto_function *libc_sendto(void)
{
	static sendto_function *_Atomic known;
	sendto_function *function = known;

	if (function == NULL) {
		/* ISO C has no conversion from an object to a function pointer. */
		*(void **)&function = dlsym(RTLD_NEXT, "sendto");
		known = function;
	}
	return function;
}

/* ZMap is told of success: retries and failures are counted here, frame by frame. */
__attribute__((visibility("default"))) ssize_t sendto(int socket, const void *frame,
						      size_t length, int flags,
						      __CONST_SOCKADDR_ARG to,
						      socklen_t to_length)
{
	if (!noted || to_length != sizeof(struct sockaddr_ll))
		return libc_sendto()(socket, frame, length, flags, to, to_length);
	noted = false;
	if (this_lane == NULL)
		this_lane = open_lane(socket, frame, to.__sockaddr__);
	this_lane->noted[this_lane->count++] = noted_probe;
	if (this_lane->count == this_lane->batch)
		flush(this_lane);
	return (ssize_t)length;
}
