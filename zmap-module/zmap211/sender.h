/*
 * ZMap 2.1.1 makes one packet at a time and hands it to sendto(): one system call each, of
 * the one length that its module record names. The plug-in exports a sendto() of its own.
 * make_packet only notes where a probe goes; when a send thread has noted a batch of them,
 * their frames are built and given to the kernel together, each with its own length.
 *
 * What ZMap promises stays true:
 *  - rate: a batch holds at most one millisecond of frames, at low rates a single one, and
 *    waits for its time asleep, where ZMap would spin a processor that the receiver needs;
 *  - retries: a refused frame is tried again as often as --retries says;
 *  - failures: a frame finally refused is added to ZMap's own counter as it happens;
 *  - end: a thread's last, partial batch is sent when its send loop ends.
 *
 * sendto() in other programs, of other probe modules and on other sockets is libc's.
 */
#ifndef MPCENSUS_ZMAP211_SENDER_H
#define MPCENSUS_ZMAP211_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"

#define ETHERNET_HEADER_BYTES 14

/*
 * Writes the packet of a probe behind its Ethernet header; addresses as ZMap gave them, in
 * host byte order. Returns its length, at most SYN_MAX_BYTES. 0: there is no packet, which
 * counts as a send failure.
 */
typedef size_t sender_build(uint8_t *packet, uint32_t source, uint32_t destination);

/* In global_initialize: from here on sends are gathered. */
void sender_configure(struct state_conf *conf, sender_build *build);

/* Whether sender_configure was called: this process is ZMap, and sends our probes. */
bool sender_configured(void);

/*
 * In thread_initialize, after which ZMap reads the rate: from here on batches keep it, and
 * ZMap has none to keep.
 */
void sender_take_rate(void);

/* In make_packet: what this thread's next sendto() is about. */
void sender_note(uint32_t source, uint32_t destination);

struct sender_counts {
	uint64_t packets_sent;  /* taken by the kernel */
	uint64_t send_failures; /* finally refused by it, or frames of no length */
};

/* Exact when the send threads have ended. */
struct sender_counts sender_counts(void);

#endif
