/*
 * The plug-in's way into ZMap: an object loaded with LD_PRELOAD, whose constructor puts
 * the modules into ZMap's own table before main() runs.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "identify.h"
#include "module.h"

/* The table has no free slots: ntp and upnp, the last ones, give way. */
#define SLOT_OF_TRACE 4
#define SLOT_OF_SYNSCAN 5

__attribute__((constructor)) static void register_modules(void)
{
	const char *problem;

	switch (identify_program(&problem)) {
	case PROGRAM_OTHER:
		return;
	case PROGRAM_UNKNOWN_ZMAP:
		dprintf(STDERR_FILENO,
			"mptcp.so: cannot work inside this ZMap (version %s): %s; "
			"supported is ZMap 2.1.1 as Debian and Ubuntu package it\n",
			identify_version(), problem);
		/* Not exit(): main() has not begun, there is nothing to tidy up. */
		_exit(EXIT_FAILURE);
	case PROGRAM_ZMAP211:
		probe_modules[SLOT_OF_TRACE] = &mptcp_trace;
		probe_modules[SLOT_OF_SYNSCAN] = &mptcp_synscan;
	}
}
