/*
 * The ring's side of the work, against a model of the kernel's: tpacket_snd() takes frames
 * in the order of the slots, and stops at the first that it cannot send, or that nobody has
 * asked it to send. No socket is opened.
 */
#define _GNU_SOURCE
#include "../zmap211/tx_ring.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <sys/socket.h>
#include <time.h>

#include "check.h"

#define FRAMES 100000u

/* What becomes of a frame that the kernel comes to. */
enum fate {
	SENT,
	IN_FLIGHT,   /* taken; its slot is free only after a while */
	NO_BUFFER,   /* EAGAIN, or nothing if frames went before it in the call */
	QUEUE_FULL,  /* ENOBUFS, whatever went before it */
	NOT_OFFERED, /* ENETDOWN, before any frame is looked at */
	BAD_FORMAT,  /* EINVAL; the slot says so, too */
	FATE_COUNT,
};

static struct {
	uint8_t *slots;
	unsigned head;
	enum fate (*fate)(uint32_t frame);
	unsigned calls;
	uint64_t waited_ns;
	uint8_t sent[FRAMES]; /* how often */
	unsigned damaged;
} kernel;

static struct tpacket2_hdr *slot_at(unsigned number)
{
	return (void *)(kernel.slots +
			(size_t)(number % TX_RING_SLOTS) * TX_RING_SLOT_BYTES);
}

/* Frames have a length of their own and end with their number. */
static size_t frame_bytes(uint32_t number)
{
	return 60 + number % (TX_RING_FRAME_MAX_BYTES - 60);
}

static uint32_t number_of(const struct tpacket2_hdr *header)
{
	uint32_t number;

	memcpy(&number, (const uint8_t *)header + TX_RING_FRAME_AT, sizeof number);
	return number;
}

static void deliver(const struct tpacket2_hdr *header)
{
	uint32_t number = number_of(header);
	const uint8_t *frame = (const uint8_t *)header + TX_RING_FRAME_AT;
	size_t bytes = header->tp_len - sizeof(struct virtio_net_hdr);

	if (number >= FRAMES || bytes != frame_bytes(number) ||
	    frame[bytes - 1] != (uint8_t)number) {
		kernel.damaged++;
		return;
	}
	kernel.sent[number]++;
}

static int fail(struct tpacket2_hdr *header, uint32_t status, int error)
{
	header->tp_status = status;
	errno = error;
	return -1;
}

/* In place of libc's: tx_ring.c calls these. */
ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
	ssize_t bytes = 0;

	(void)socket;
	(void)message;
	(void)flags;
	kernel.calls++;
	for (;; kernel.head++) {
		struct tpacket2_hdr *header = slot_at(kernel.head);

		if (header->tp_status != TP_STATUS_SEND_REQUEST)
			return bytes;
		switch (kernel.fate(number_of(header))) {
		case SENT:
			header->tp_status = TP_STATUS_AVAILABLE;
			break;
		case IN_FLIGHT:
			header->tp_status = TP_STATUS_SENDING;
			break;
		case NO_BUFFER:
			if (bytes > 0)
				return bytes;
			return fail(header, TP_STATUS_SEND_REQUEST, EAGAIN);
		case QUEUE_FULL:
			return fail(header, TP_STATUS_SEND_REQUEST, ENOBUFS);
		case NOT_OFFERED:
			if (bytes > 0)
				return bytes;
			return fail(header, TP_STATUS_SEND_REQUEST, ENETDOWN);
		default:
			return fail(header, TP_STATUS_WRONG_FORMAT, EINVAL);
		}
		deliver(header);
		bytes += header->tp_len;
	}
}

/* The device finishes what it has. */
int nanosleep(const struct timespec *time, struct timespec *left)
{
	(void)left;
	kernel.waited_ns += (uint64_t)time->tv_nsec;
	for (unsigned i = 0; i < TX_RING_SLOTS; i++) {
		if (slot_at(i)->tp_status == TP_STATUS_SENDING)
			slot_at(i)->tp_status = TP_STATUS_AVAILABLE;
	}
	return 0;
}

static struct tx_ring start(enum fate (*fate)(uint32_t frame))
{
	static _Alignas(TX_RING_SLOT_BYTES)
	    uint8_t slots[TX_RING_SLOTS * TX_RING_SLOT_BYTES];

	memset(slots, 0, sizeof slots);
	memset(&kernel, 0, sizeof kernel);
	kernel.slots = slots;
	kernel.fate = fate;
	return (struct tx_ring){.slots = slots};
}

static void add(struct tx_ring *ring, uint32_t number)
{
	uint8_t *frame = tx_ring_next(ring);
	size_t bytes = frame_bytes(number);

	memset(frame, 0xee, bytes);
	memcpy(frame, &number, sizeof number);
	frame[bytes - 1] = (uint8_t)number;
	tx_ring_add(ring, bytes);
}

static unsigned add_batch(struct tx_ring *ring, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		add(ring, first + i);
	return count;
}

static enum fate always_sent(uint32_t frame)
{
	(void)frame;
	return SENT;
}

static enum fate never_offered(uint32_t frame)
{
	(void)frame;
	return NOT_OFFERED;
}

static enum fate queue_full(uint32_t frame)
{
	(void)frame;
	return QUEUE_FULL;
}

static enum fate first_is_refused(uint32_t frame)
{
	return frame == 0 ? QUEUE_FULL : SENT;
}

static enum fate fifth_is_bad(uint32_t frame)
{
	return frame == 5 ? BAD_FORMAT : SENT;
}

static uint64_t seed = 2026;

static enum fate any(uint32_t frame)
{
	uint64_t draw = check_random(&seed) >> 11;

	(void)frame;
	return draw % 8 < FATE_COUNT ? (enum fate)(draw % 8) : SENT;
}

static void check_sent(const char *what, uint32_t frame, unsigned times)
{
	CHECK_EQ(what, kernel.sent[frame], times);
	CHECK_EQ(what, kernel.damaged, 0);
}

static void test_all_sent(void)
{
	struct tx_ring ring = start(always_sent);

	for (uint32_t batch = 0; batch < 20; batch++) {
		struct tx_ring_result result;

		add_batch(&ring, batch * 64, 64);
		result = tx_ring_submit(&ring, 10);
		CHECK_EQ("taken", result.taken, 64);
		CHECK_EQ("refused", result.refused, 0);
	}
	CHECK_EQ("calls", kernel.calls, 20);
	CHECK_EQ("waited", kernel.waited_ns, 0);
	for (uint32_t frame = 0; frame < 20 * 64; frame++)
		check_sent("all sent", frame, 1);
}

/* The others go, each once: among them the last, which takes the place of the first. */
static void test_one_left_out(const char *what, enum fate (*fate)(uint32_t),
			      uint32_t left_out)
{
	struct tx_ring ring = start(fate);
	struct tx_ring_result result;

	add_batch(&ring, 0, 64);
	result = tx_ring_submit(&ring, 3);
	CHECK_EQ(what, result.taken, 63);
	CHECK_EQ(what, result.refused, 1);
	add_batch(&ring, 64, 64);
	result = tx_ring_submit(&ring, 3);
	CHECK_EQ(what, result.taken, 64);
	for (uint32_t frame = 0; frame < 128; frame++)
		check_sent(what, frame, frame != left_out);
}

static void test_retries(void)
{
	for (int retries = 0; retries <= 10; retries++) {
		struct tx_ring ring = start(never_offered);
		struct tx_ring_result result;

		add_batch(&ring, 0, 3);
		result = tx_ring_submit(&ring, retries);
		CHECK_EQ("refused", result.refused, 3);
		CHECK_EQ("taken", result.taken, 0);
		CHECK_EQ("tries", kernel.calls, 3 * (retries + 1));
		CHECK_EQ("a device that is down is not waited for", kernel.waited_ns, 0);
	}
}

static enum fate full_for_five_calls(uint32_t frame)
{
	(void)frame;
	return kernel.calls <= 5 ? QUEUE_FULL : SENT;
}

/* However few retries there are, a device gets time to make room. */
static void test_slow_device(void)
{
	struct tx_ring ring = start(full_for_five_calls);
	struct tx_ring_result result;

	add_batch(&ring, 0, 64);
	result = tx_ring_submit(&ring, 0);
	CHECK_EQ("taken", result.taken, 64);
	CHECK_EQ("refused", result.refused, 0);
	CHECK_EQ("waited", kernel.waited_ns, 50000 * (1 + 2 + 4 + 8 + 16));
}

/* Of a device without carrier: waited for once, not for every frame. */
static void test_full_queue(void)
{
	struct tx_ring ring = start(queue_full);

	add_batch(&ring, 0, 1);
	CHECK_EQ("refused", tx_ring_submit(&ring, 1).refused, 1);
	CHECK_EQ("waited", kernel.waited_ns, 50000 * 1023);
	CHECK_EQ("tries", kernel.calls, 10 + 2);
	kernel.waited_ns = 0;
	add_batch(&ring, 1, 64);
	CHECK_EQ("refused", tx_ring_submit(&ring, 1).refused, 64);
	CHECK_EQ("stuck: waited", kernel.waited_ns, 0);

	kernel.fate = always_sent;
	add_batch(&ring, 65, 1);
	CHECK_EQ("taken", tx_ring_submit(&ring, 1).taken, 1);
	kernel.fate = queue_full;
	add_batch(&ring, 66, 1);
	CHECK_EQ("refused", tx_ring_submit(&ring, 1).refused, 1);
	CHECK_EQ("waited again", kernel.waited_ns, 50000 * 1023);
}

/* Whatever happens, a frame is sent once, or not at all and counted as refused. */
static void test_any_fate(void)
{
	struct tx_ring ring = start(any);
	unsigned added = 0, taken = 0, refused = 0, sent = 0;

	while (added + TX_RING_SLOTS <= FRAMES) {
		struct tx_ring_result result;
		unsigned batch = 1 + check_random(&seed) % TX_RING_SLOTS;

		added += add_batch(&ring, added, batch);
		result = tx_ring_submit(&ring, (int)(check_random(&seed) % 3));
		CHECK_EQ("batch", result.taken + result.refused, batch);
		CHECK_EQ("left waiting", ring.waiting, 0);
		taken += result.taken;
		refused += result.refused;
	}
	for (uint32_t frame = 0; frame < added; frame++) {
		CHECK(kernel.sent[frame] <= 1);
		sent += kernel.sent[frame];
	}
	CHECK_EQ("taken", taken, sent);
	CHECK_EQ("refused", refused, added - sent);
	CHECK_EQ("damaged", kernel.damaged, 0);
	CHECK(refused > 0);
}

int main(void)
{
	test_all_sent();
	test_one_left_out("first refused", first_is_refused, 0);
	test_one_left_out("fifth refused", fifth_is_bad, 5);
	test_retries();
	test_slow_device();
	test_full_queue();
	test_any_fate();
	return check_report("tx_ring_test");
}
