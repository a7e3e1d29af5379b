#ifndef MPCENSUS_ZMAP211_MODULE_H
#define MPCENSUS_ZMAP211_MODULE_H

#include "abi.h"

extern struct probe_module mptcp_synscan, mptcp_trace;

/* Of them the one that this ZMap runs. */
const char *module_name(void);

#endif
