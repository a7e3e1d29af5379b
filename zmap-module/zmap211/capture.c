/*
 * ZMap 2.1.1 opens its capture with libpcap's default buffer of 2 MB: some thousand answers.
 * A trace, in which nearly every probe is answered, fills it while the receive thread waits
 * for a processor. So this pcap_open_live() asks for more.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

#include "sender.h"

#define BUFFER_BYTES (64 << 20)
#define PCAP_ERROR_BYTES 256

struct pcap;

typedef struct pcap *open_function(const char *, int, int, int, char *);
typedef struct pcap *create_function(const char *, char *);
typedef int set_function(struct pcap *, int);
typedef int activate_function(struct pcap *);
typedef void close_function(struct pcap *);

/* ISO C has no conversion from an object to a function pointer. */
#define FIND(function, handle, name) (*(void **)&(function) = dlsym(handle, name))

static struct pcap *open_with_buffer(const char *device, int snaplen, int promiscuous,
				     int timeout, char *error)
{
	create_function *create;
	set_function *set_snaplen, *set_promisc, *set_timeout, *set_buffer;
	activate_function *activate;
	close_function *close;
	struct pcap *capture;

	FIND(create, RTLD_NEXT, "pcap_create");
	FIND(set_snaplen, RTLD_NEXT, "pcap_set_snaplen");
	FIND(set_promisc, RTLD_NEXT, "pcap_set_promisc");
	FIND(set_timeout, RTLD_NEXT, "pcap_set_timeout");
	FIND(set_buffer, RTLD_NEXT, "pcap_set_buffer_size");
	FIND(activate, RTLD_NEXT, "pcap_activate");
	FIND(close, RTLD_NEXT, "pcap_close");
	capture = create(device, error);
	if (capture == NULL)
		return NULL;
	set_snaplen(capture, snaplen);
	set_promisc(capture, promiscuous);
	set_timeout(capture, timeout);
	set_buffer(capture, BUFFER_BYTES);
	if (activate(capture) >= 0)
		return capture;
	snprintf(error, PCAP_ERROR_BYTES, "%s: cannot be opened for capture", device);
	close(capture);
	return NULL;
}

struct pcap *pcap_open_live(const char *, int, int, int, char *);

__attribute__((visibility("default"))) struct pcap *
pcap_open_live(const char *device, int snaplen, int promiscuous, int timeout, char *error)
{
	open_function *libpcap;

	if (sender_configured())
		return open_with_buffer(device, snaplen, promiscuous, timeout, error);
	FIND(libpcap, RTLD_NEXT, "pcap_open_live");
	return libpcap(device, snaplen, promiscuous, timeout, error);
}
