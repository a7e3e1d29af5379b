/*
 * Sending Ethernet frames in batches through a packet socket's transmit ring
 * (PACKET_TX_RING; see packet(7) and the kernel's packet_mmap document): memory shared
 * with the kernel, in which one system call sends all frames that wait.
 *
 * Measured on veth against one sendto() a frame: docs/benchmarks.md, section Probe.
 */
#ifndef MPCENSUS_ZMAP211_TX_RING_H
#define MPCENSUS_ZMAP211_TX_RING_H

#include <linux/if_packet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TX_RING_SLOT_BYTES 256
#define TX_RING_SLOTS 256u
/* In front of a frame: the slot's header and what tells the kernel to copy the frame. */
#define TX_RING_FRAME_AT 42
#define TX_RING_FRAME_MAX_BYTES (TX_RING_SLOT_BYTES - TX_RING_FRAME_AT)

struct tx_ring {
	int socket;
	struct sockaddr_ll to;
	uint8_t *slots;
	unsigned next;    /* the slot of the next frame */
	unsigned waiting; /* frames before it that the kernel has not been given */
	bool stuck;       /* the last frame that the kernel answered for was refused */
};

/*
 * Takes over a SOCK_RAW packet socket, whose frames leave by the interface of `to`.
 * Returns NULL, or what the kernel refused (errno says why).
 */
const char *tx_ring_open(struct tx_ring *ring, int socket, const struct sockaddr_ll *to);

/* Room for the next frame, of TX_RING_FRAME_MAX_BYTES; nothing is kept of it until added. */
uint8_t *tx_ring_next(const struct tx_ring *ring);

/* Lets the frame written there wait. At most TX_RING_SLOTS may. */
void tx_ring_add(struct tx_ring *ring, size_t bytes);

struct tx_ring_result {
	unsigned taken, refused;
};

/*
 * Gives the kernel all that waits. A frame that it refuses is tried again `retries`
 * times, then left out. Room in the socket's buffer is waited for, as sendto() does; room
 * in the device's queue, too, but not for long if there is no carrier.
 */
struct tx_ring_result tx_ring_submit(struct tx_ring *ring, int retries);

#endif
