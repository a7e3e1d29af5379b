/*
 * ZMap 2.1.1 asks every send thread's interface for an IPv4 address, drops the answer,
 * and hangs with its send lock held if there is none. An IPv6 scan needs no such address:
 * in place of "no address" ZMap gets 0.0.0.0.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sender.h"

typedef int ioctl_function(int fd, unsigned long request, ...);

static ioctl_function *libc_ioctl(void)
{
	ioctl_function *function;

	/* ISO C has no conversion from an object to a function pointer. */
	*(void **)&function = dlsym(RTLD_NEXT, "ioctl");
	return function;
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int result;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);

	result = libc_ioctl()(fd, request, argument);
	if (result < 0 && errno == EADDRNOTAVAIL && request == SIOCGIFADDR &&
	    sender_configured()) {
		struct ifreq *interface = argument;

		memset(&interface->ifr_addr, 0, sizeof interface->ifr_addr);
		interface->ifr_addr.sa_family = AF_INET;
		return 0;
	}
	return result;
}
