/* Which program the plug-in was loaded into. */
#ifndef MPCENSUS_ZMAP211_IDENTIFY_H
#define MPCENSUS_ZMAP211_IDENTIFY_H

enum program {
	PROGRAM_OTHER, /* LD_PRELOAD reaches every child process: not our business */
	PROGRAM_ZMAP211,
	PROGRAM_UNKNOWN_ZMAP,
};

/* For an unknown ZMap, `*problem` says what differs. */
enum program identify_program(const char **problem);

/* The version text inside the program, or "unknown". */
const char *identify_version(void);

#endif
