#define _GNU_SOURCE
#include "tx_ring.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

/* A power of two of pages, which the kernel allocates in one piece. */
#define BLOCK_BYTES (64u << 10)
#define RING_BYTES (TX_RING_SLOTS * TX_RING_SLOT_BYTES)

/* Where the kernel looks for what is sent. */
#define CONTENT_AT sizeof(struct tpacket2_hdr)

_Static_assert(CONTENT_AT % TPACKET_ALIGNMENT == 0, "no gap behind the slot's header");
_Static_assert(CONTENT_AT + sizeof(struct virtio_net_hdr) == TX_RING_FRAME_AT,
	       "the frame follows the virtio header");
_Static_assert(RING_BYTES % BLOCK_BYTES == 0 && BLOCK_BYTES % TX_RING_SLOT_BYTES == 0,
	       "slots lie in the mapping without gaps");

static bool set_option(int socket, int name, const void *value, socklen_t length)
{
	return setsockopt(socket, SOL_PACKET, name, value, length) == 0;
}

const char *tx_ring_open(struct tx_ring *ring, int socket, const struct sockaddr_ll *to)
{
	const int version = TPACKET_V2, on = 1;
	const struct tpacket_req request = {
	    .tp_block_size = BLOCK_BYTES,
	    .tp_block_nr = RING_BYTES / BLOCK_BYTES,
	    .tp_frame_size = TX_RING_SLOT_BYTES,
	    .tp_frame_nr = TX_RING_SLOTS,
	};

	*ring = (struct tx_ring){.socket = socket, .to = *to};
	/* Past the queueing discipline, and past copies for captures of what is sent. */
	if (!set_option(socket, PACKET_QDISC_BYPASS, &on, sizeof on))
		return "PACKET_QDISC_BYPASS";
	if (!set_option(socket, PACKET_VERSION, &version, sizeof version))
		return "PACKET_VERSION";
	if (!set_option(socket, PACKET_VNET_HDR, &on, sizeof on))
		return "PACKET_VNET_HDR";
	if (!set_option(socket, PACKET_TX_RING, &request, sizeof request))
		return "PACKET_TX_RING";
	ring->slots =
	    mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, socket, 0);
	return ring->slots != MAP_FAILED ? NULL : "mmap";
}

static struct tpacket2_hdr *slot(const struct tx_ring *ring, unsigned number)
{
	return (void *)(ring->slots +
			(size_t)(number % TX_RING_SLOTS) * TX_RING_SLOT_BYTES);
}

static uint32_t status(const struct tpacket2_hdr *header)
{
	return __atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE);
}

static void set_status(struct tpacket2_hdr *header, uint32_t value)
{
	__atomic_store_n(&header->tp_status, value, __ATOMIC_RELEASE);
}

/*
 * The first wait is long enough for a fast device to send some dozens of frames, each
 * further one is twice as long: 51 ms in all, in which a slow device sends some too.
 */
#define WAITS 10u

static void wait_for_room(unsigned waited)
{
	nanosleep(&(struct timespec){.tv_nsec = 50000L << waited}, NULL);
}

uint8_t *tx_ring_next(const struct tx_ring *ring)
{
	struct tpacket2_hdr *header = slot(ring, ring->next);

	while (status(header) == TP_STATUS_SENDING)
		wait_for_room(0);
	return (uint8_t *)header + TX_RING_FRAME_AT;
}

void tx_ring_add(struct tx_ring *ring, size_t bytes)
{
	struct tpacket2_hdr *header = slot(ring, ring->next);
	/*
	 * A header longer than Ethernet's: the kernel copies as much into its buffer. It
	 * would attach the rest as a page of ours, which for frames this short costs more.
	 */
	const struct virtio_net_hdr copied = {.hdr_len = (uint16_t)bytes};

	memcpy((uint8_t *)header + CONTENT_AT, &copied, sizeof copied);
	header->tp_len = (uint32_t)(sizeof copied + bytes);
	set_status(header, TP_STATUS_SEND_REQUEST);
	ring->next++;
	ring->waiting++;
}

/* Counts off what the kernel took: it goes through the slots in order. */
static unsigned count_taken(struct tx_ring *ring)
{
	unsigned taken = 0;

	for (; ring->waiting > 0; ring->waiting--, taken++) {
		uint32_t now = status(slot(ring, ring->next - ring->waiting));

		if (now != TP_STATUS_SENDING && now != TP_STATUS_AVAILABLE)
			break;
	}
	return taken;
}

/* The kernel goes on at the slot where it stopped: the last frame takes that place. */
static void leave_out_first(struct tx_ring *ring)
{
	struct tpacket2_hdr *first = slot(ring, ring->next - ring->waiting);
	struct tpacket2_hdr *last = slot(ring, ring->next - 1);

	if (first != last)
		memcpy(first, last, TX_RING_SLOT_BYTES);
	set_status(last, TP_STATUS_AVAILABLE);
	ring->next--;
	ring->waiting--;
}

/* Returns 0 or an error number; what was sent, the slots tell. */
static int send_waiting(const struct tx_ring *ring)
{
	struct sockaddr_ll to = ring->to;
	const struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to};

	/* Without MSG_DONTWAIT it would wait until the device has sent them all. */
	return sendmsg(ring->socket, &message, MSG_DONTWAIT) < 0 ? errno : 0;
}

struct tx_ring_result tx_ring_submit(struct tx_ring *ring, int retries)
{
	struct tx_ring_result result = {.taken = 0};
	int refusals = 0;
	unsigned waits = 0;

	while (ring->waiting > 0) {
		int error = send_waiting(ring);
		unsigned taken = count_taken(ring);

		result.taken += taken;
		if (taken > 0) {
			refusals = 0;
			waits = 0;
			ring->stuck = false;
		}
		/* No room in the socket's buffer: what is in it will be sent. */
		if (error == EAGAIN) {
			wait_for_room(0);
			continue;
		}
		/*
		 * No room in the device's queue. Without carrier the kernel says the same,
		 * but there waiting does not help: once must do.
		 */
		if (error == ENOBUFS && !ring->stuck && waits < WAITS) {
			wait_for_room(waits++);
			continue;
		}
		if (error == EINTR || (error == 0 && taken > 0))
			continue;
		if (ring->waiting > 0 && ++refusals > retries) {
			leave_out_first(ring);
			result.refused++;
			refusals = 0;
			ring->stuck = true;
		}
	}
	return result;
}
